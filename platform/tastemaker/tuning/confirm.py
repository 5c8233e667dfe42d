"""Is the best trial better than the config in use? Asked on days by which no trial was chosen.

    [ training ... | confirm )                     both configs are fitted before it, compared by its users
    [ training .............. | search )           what the trials were measured by
    [ training ......................... | test )  not touched

The best of many trials has the best luck too (the winner's curse), so its figure in the search says too much.
The period before the search's, as long as it, chose nothing: there one comparison of two configs decides,
which needs no correction. Where the history is too short for it, the search's own users decide, with the p
multiplied by the number of configs that the best one was picked from (C. E. Bonferroni, 1936).
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
    """The best trial's config against the one in use, on the same users."""

    window: tuple[datetime, datetime, datetime]
    """Training's start, the cut and the end."""
    fresh: bool
    """No trial was measured by these days."""
    comparisons: int
    """What p was multiplied by: 1 where the days are fresh."""
    difference: Difference
    """What the best trial's config has more, with the 95 % interval of this pair alone."""
    p: float
    """The larger of the two paired tests', corrected."""
    better: bool
    """Beyond chance, so corrected; never where the difference has no interval."""


def confirm(
    dataset: Dataset, searched: TrialBench, best: Config, used: Config, *, candidates: int
) -> Confirmation:
    """Compare the best of so many candidates with the config in use. Raises PluginError if one fails."""
    try:
        bench, fresh = TrialBench.inside(dataset.before(test_start(dataset)), searched.plugin), True
        found = np.column_stack([bench.users(best), bench.users(used)])
    except TastemakerError:  # too short a history, or too little of it for the model
        bench, fresh = searched, False
        found = np.column_stack([bench.users(best), bench.users(used)])
    comparisons = 1 if fresh else max(1, candidates)
    pairs = Pairs.of(found, bench.metric, resamples=enough(comparisons))
    difference, p = pairs.difference(0, 1), min(1.0, float(pairs.p[0, 1]) * comparisons)
    split = bench.split
    start, cut, end = (datetime.fromtimestamp(moment, UTC) for moment in (split.start, split.cut, split.end))
    return Confirmation(
        (start, cut, end), fresh, comparisons, difference, p, bool(pairs.better[0, 1]) and p <= ALPHA
    )
