"""Intervals of estimates whose rewards are rare and weigh differently.

The standard error of a mean over resampled rounds has a closed form, s/√n. The ends are Hall's, which knows
skewness, and hold half a reward more than was seen, of the weight that the target's own have
(`confidence.ends_with_rare`): where one action has most of the target's chances and no reward in the log,
what was seen tells of no spread. How often they hold the truth: `benchmarks/off_policy_coverage.py`.
"""

from __future__ import annotations

import numpy as np

from tastemaker.evaluation.off_policy.estimators import Estimate
from tastemaker.stats.bootstrap import LEVEL, Difference, Interval
from tastemaker.stats.confidence import ends_with_rare, varied

_TIE = 1e-12


def interval(estimate: Estimate, *, level: float = LEVEL, wide: bool = False) -> Interval:
    """An estimate and where its value lies. `wide` is for differences: see `ends_with_rare`."""
    values = estimate.contributions
    n = len(values)
    error = float(values.std(ddof=1)) / n**0.5 if n > 1 else float("nan")
    ends = ends_with_rare(
        estimate.value, error, values, level, above=estimate.gain, below=estimate.loss, wide=wide
    )
    return Interval(estimate.value, *ends, n, varied(values))


def difference(mine: Estimate, rival: Estimate, *, level: float = LEVEL) -> Difference:
    """How much more one policy earns a round than another, by their estimates over the same n rounds."""
    off = mine.contributions - rival.contributions
    n = len(off)
    largest = max(np.abs(mine.contributions).max(), np.abs(rival.contributions).max())
    if np.abs(off).max() <= _TIE * n * largest:
        return Difference(0.0, 0.0, 0.0, n)
    both = Estimate(float(off.mean()), off, max(mine.gain, rival.loss), max(mine.loss, rival.gain))
    found = interval(both, level=level, wide=True)
    return Difference(found.value, found.low, found.high, n)
