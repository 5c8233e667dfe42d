"""What is said of a model beside another."""

from typing import Literal

Verdict = Literal["the one to beat", "beats", "tied", "worse", "not compared"]
"""Against the one to beat."""
Standing = Literal["best", "tied with the best", "worse"]
"""Among all models."""
