"""What is said of a model beside another."""

from typing import Literal

Verdict = Literal["the baseline", "beats", "tied", "worse", "not compared"]
"""Against the baseline."""
Standing = Literal["best", "tied with the best", "worse"]
"""Among all models."""
