"""The laws that every model obeys."""

from tastemaker.plugins.checks import lawful
from tastemaker_ranker.ranker import Ranker

test_laws = lawful(Ranker)
