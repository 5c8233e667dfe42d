"""The checks that every model obeys."""

from tastemaker.plugins.checks import parametrize_with_checks
from tastemaker_ranker.ranker import Ranker

test_checks = parametrize_with_checks(Ranker)
