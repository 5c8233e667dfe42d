"""Which models are candidates for promotion: those that share the 5 % of false differences among them.

A candidate is a model with a backtest that somebody might promote. The baseline is none: candidates are
compared with it. Random lists are none either: they are the floor of the board and the policy whose log
teaches most. A model that failed or is disabled has no backtest here, and no model is compared with itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLOOR = "random"
"""The model of random lists."""


def are_candidates(models: Sequence[str], baseline: str) -> NDArray[np.bool_]:
    """bool[m]: which of the models might be promoted."""
    return np.array([model not in (baseline, FLOOR) for model in models], np.bool_)


def are_others(models: Sequence[str], baseline: str) -> NDArray[np.bool_]:
    """bool[m]: which are neither candidates nor the baseline."""
    return np.array([model == FLOOR != baseline for model in models], np.bool_)
