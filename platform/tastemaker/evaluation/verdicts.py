"""Verdicts of comparisons between models."""

from typing import Literal

Verdict = Literal["baseline", "better", "tied", "worse", "not compared"]
"""Compared with the baseline."""
Standing = Literal["best", "tied with the best", "worse"]
"""Compared with the model that has the best figure."""
