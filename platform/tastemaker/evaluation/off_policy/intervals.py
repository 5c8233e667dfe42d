"""Intervals of off-policy estimates, whose rewards are rare and have different weights.

The standard error of a mean over resampled rounds has a closed form, s/√n. The ends are Hall's, which correct
for skewness, and count half a reward more than was observed, with the weight of the target's own rewards
(`confidence.ends_with_rare`): an action with most of the target's probability and no reward in the log would
otherwise add no spread. Their coverage is measured in `benchmarks/off_policy_coverage.py`.
"""

from __future__ import annotations

import numpy as np

from tastemaker.evaluation.off_policy.estimators import Estimate
from tastemaker.stats.bootstrap import LEVEL, Difference, Interval
from tastemaker.stats.confidence import ends_with_rare, varied

_TIE = 1e-12


def interval(estimate: Estimate, *, level: float = LEVEL, wide: bool = False) -> Interval:
    """Return the interval of an estimate.

    Args:
        estimate: The value, and the contributions of which it is the mean.
        level: Confidence level.
        wide: Whether no end may be closer than Student's, as for differences: see `ends_with_rare`.
    """
    values = estimate.contributions
    n = len(values)
    error = float(values.std(ddof=1)) / n**0.5 if n > 1 else float("nan")
    ends = ends_with_rare(
        estimate.value, error, values, level, above=estimate.gain, below=estimate.loss, wide=wide
    )
    return Interval(estimate.value, *ends, n, varied(values))


def difference(mine: Estimate, rival: Estimate, *, level: float = LEVEL) -> Difference:
    """Return how much more one policy earns per round than another, with an interval.

    Args:
        mine: The estimate of the policy.
        rival: The estimate of the other policy, over the same rounds.
        level: Confidence level.
    """
    off = mine.contributions - rival.contributions
    n = len(off)
    largest = max(np.abs(mine.contributions).max(), np.abs(rival.contributions).max())
    if np.abs(off).max() <= _TIE * n * largest:
        return Difference(0.0, 0.0, 0.0, n)
    both = Estimate(float(off.mean()), off, max(mine.gain, rival.loss), max(mine.loss, rival.gain))
    found = interval(both, level=level, wide=True)
    return Difference(found.value, found.low, found.high, n)
