"""The content-based model obeys the laws."""

from tastemaker.plugins.laws import lawful
from tastemaker_content.content import ContentBased

test_laws = lawful(ContentBased)
