"""The content-based model obeys the laws."""

from tastemaker.plugins.checks import lawful
from tastemaker_content.content import ContentBased

test_laws = lawful(ContentBased)
