"""The checks that every model obeys."""

import pytest

from tastemaker.plugins.checks import parametrize_with_checks
from tastemaker_ranker.ranker import Ranker

pytestmark = pytest.mark.slow

test_checks = parametrize_with_checks(Ranker)
