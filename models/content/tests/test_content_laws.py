"""The content-based model obeys the laws."""

from tastemaker.plugins.checks import parametrize_with_checks
from tastemaker_content.content import ContentBased

test_laws = parametrize_with_checks(ContentBased)
