"""The content-based model passes the checks."""

from tastemaker.plugins.checks import parametrize_with_checks
from tastemaker_content.content import ContentBased

test_checks = parametrize_with_checks(ContentBased)
