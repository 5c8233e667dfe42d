"""Confirmation: compare the best trial with the config in use on days that chose no trial.

    [ training ... | confirm )                     both configs are fitted before it, compared on its users
    [ training .............. | search )           the trials were evaluated on these days
    [ training ......................... | test )  not used

The figure of the best of many trials is biased upwards (the winner's curse). The period before the search's,
of the same length, chose no trial: there one comparison of two configs decides, which needs no correction.
Where the history is too short for it, the search's own users decide, with the p-value multiplied by the
number of configs from which the best one was chosen (C. E. Bonferroni, 1936).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from tastemaker.dataset.split import test_start
from tastemaker.errors import TastemakerError
from tastemaker.evaluation.leaderboard.pairwise import Pairs
from tastemaker.stats.significance import ALPHA, enough
from tastemaker.tuning.trial import TrialBench

if TYPE_CHECKING:
    from tastemaker.dataset.dataset import Dataset
    from tastemaker.plugins import Config
    from tastemaker.stats.bootstrap import Difference


@dataclass(frozen=True)
class Confirmation:
    """Comparison of the best trial's config with the one in use, on the same users."""

    window: tuple[datetime, datetime, datetime]
    """The start of training, the cutoff and the end."""
    fresh: bool
    """Whether no trial was evaluated on these days."""
    comparisons: int
    """The factor of the correction of p: 1 where the days are fresh."""
    difference: Difference
    """The best trial's config minus the one in use, with the 95 % interval of this pair alone."""
    p: float
    """The larger of the two paired tests' p-values, corrected."""
    better: bool
    """Whether the best trial's config is significantly better; false where the difference has no interval."""


def confirm(
    dataset: Dataset, searched: TrialBench, best: Config, used: Config, *, candidates: int
) -> Confirmation:
    """Compare the best trial's config with the one in use, on days that chose no trial if there are enough.

    Args:
        dataset: The data set.
        searched: The bench of the trials.
        best: The best trial's config.
        used: The config in use.
        candidates: The number of configs from which the best one was chosen.

    Returns:
        The best trial's config minus the one in use. Where the history is too short for days of their own,
        they are compared on the trials' users, and p is corrected for all candidates.

    Raises:
        PluginError: The model fails with one of the configs.
    """
    try:
        bench, fresh = TrialBench.inside(dataset.before(test_start(dataset)), searched.plugin), True
        found = np.column_stack([bench.users(best), bench.users(used)])
    except TastemakerError:  # the history is too short, for the split or for the model
        bench, fresh = searched, False
        found = np.column_stack([bench.users(best), bench.users(used)])
    comparisons = 1 if fresh else max(1, candidates)
    pairs = Pairs.of(found, bench.metric, resamples=enough(comparisons))
    difference, p = pairs.difference(0, 1), min(1.0, float(pairs.p[0, 1]) * comparisons)
    split = bench.split
    start, cut, end = (
        datetime.fromtimestamp(timestamp, UTC) for timestamp in (split.start, split.cut, split.end)
    )
    return Confirmation(
        (start, cut, end), fresh, comparisons, difference, p, bool(pairs.better[0, 1]) and p <= ALPHA
    )
