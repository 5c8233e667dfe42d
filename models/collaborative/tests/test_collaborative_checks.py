"""The collaborative models pass the checks."""

from tastemaker.plugins.checks import parametrize_with_checks
from tastemaker_collaborative.bpr import BPR
from tastemaker_collaborative.ease import EASE
from tastemaker_collaborative.ials import IALS
from tastemaker_collaborative.item_knn import ItemKNN

test_checks = parametrize_with_checks(BPR, EASE, IALS, ItemKNN)
