"""Candidates for promotion: the models whose comparisons share the 5 % error rate.

A candidate is a model with a backtest that may be promoted. The baseline is not a candidate: candidates are
compared with it. Random lists are not a candidate either: they are the lower end of the leaderboard, and the
policy with the most informative log. A failed or disabled model has no backtest here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLOOR = "random"
"""Name of the model of random lists."""


def are_candidates(models: Sequence[str], baseline: str) -> NDArray[np.bool_]:
    """Return bool[m], which of the models may be promoted.

    Args:
        models: The m models' names.
        baseline: The baseline's name, which need not be among them.
    """
    return np.array([model not in (baseline, FLOOR) for model in models], np.bool_)


def are_others(models: Sequence[str], baseline: str) -> NDArray[np.bool_]:
    """Return bool[m], which of the models are neither candidates nor the baseline.

    Args:
        models: The m models' names.
        baseline: The baseline's name, which need not be among them.
    """
    return np.array([model == FLOOR != baseline for model in models], np.bool_)
