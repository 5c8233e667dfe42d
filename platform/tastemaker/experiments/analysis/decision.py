"""Which looks may decide, and what they decide: group-sequential bounds, and Holm's steps over the variants.

    t     mature units / planned units, at most 1: the information
    due   when t has passed another of the design's equal steps since the last look that decided
    level α/(m − j) for the variant with the (j + 1)-th smallest p-value of m, as long as those before it
          crossed their bounds; the others keep the bound that was not crossed

The bound of a look spends α by O'Brien-Fleming's function over the looks that were taken, however they fell.
An interval of a variant uses the bound that its test used: it excludes 0 exactly if the test decided.

References: `tastemaker.stats.group_sequential`; W. Maurer and F. Bretz, "Multiple testing in group sequential
trials using graphical approaches", Statistics in Biopharmaceutical Research 5(4), 2013.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from scipy.special import ndtr

from tastemaker.experiments.design import Design
from tastemaker.stats.confidence_sequences import bound, tightest_at
from tastemaker.stats.group_sequential import bounds, obrien_fleming

LookVerdict = Literal["undecided", "better", "worse", "equal", "invalid"]
"""Equal: not distinguishable from control at the end. Invalid: units are not divided as planned."""
FEWEST_UNITS = 50
"""Units of each variant below which no look decides: intervals rest on many units."""
_ROUNDING = 1e-9


class Timing(NamedTuple):
    """Where in its plan an experiment is."""

    information: float
    """Mature units over planned units, at most 1."""
    progress: float
    """The same, without the limit."""
    past: tuple[float, ...]
    """Information at the looks that decided something or could have."""
    is_due: bool
    """Whether the look spends α and may decide."""
    left: int
    """Planned looks after it."""

    @property
    def number(self) -> int:
        """Number of the look, from 1."""
        return len(self.past) + 1

    @property
    def is_last(self) -> bool:
        """Whether no look comes after it."""
        return self.is_due and self.information >= 1


def timing(design: Design, counts: Mapping[str, int], past: Sequence[float]) -> Timing:
    """Return where in its plan an experiment is.

    Args:
        design: Gives the planned units and the number of looks.
        counts: Mature units by variant.
        past: Information at the looks before that could decide, rising.
    """
    progress = sum(counts.values()) / design.planned_units
    information = min(progress, 1.0)
    passed, before = (
        math.floor(t * design.looks + _ROUNDING) for t in (information, past[-1] if past else 0.0)
    )
    enough = min(counts.values(), default=0) >= FEWEST_UNITS
    return Timing(information, progress, tuple(past), enough and passed > before, design.looks - passed)


def bound_at(times: Timing, alpha: float) -> float:
    """Return the bound of |z| at a look that is due.

    Args:
        times: Of a look that is due.
        alpha: The two-sided false positive rate of all looks together.
    """
    return _bound((*times.past, times.information), alpha)


@lru_cache(maxsize=1_000)
def _bound(information: tuple[float, ...], alpha: float) -> float:
    return float(bounds(information, obrien_fleming(alpha))[-1])


def alpha_spent(times: Timing, alpha: float) -> float:
    """Return the α that is spent up to and with this look, or before it if it is not due.

    Args:
        times: Of the look.
        alpha: The two-sided false positive rate of all looks together.

    Returns:
        0 to `alpha`; 0 before the first look that is due.
    """
    looks = (*times.past, times.information) if times.is_due else times.past
    return obrien_fleming(alpha)(looks[-1]) if looks else 0.0


def nominal(z: float) -> float:
    """Return the two-sided α of one look whose bound is z."""
    return 2 * float(ndtr(-z))


def any_day_alpha(times: Timing, alpha: float) -> float:
    """Return the two-sided α with which an interval of one look is one of the confidence sequence.

    The sequence is tightest at the plan's end. A unit's values are a step of the sum, so that its variance is
    the progress.

    Args:
        times: Of a look with at least one mature unit.
        alpha: The two-sided false positive rate of all days together.
    """
    z = bound(times.progress, tightest_at(1.0, alpha), alpha) / math.sqrt(times.progress)
    return nominal(z)


def step_down(times: Timing, alpha: float, p: Mapping[str, float]) -> dict[str, float]:
    """Return the α of one look by which each variant is tested, by Holm's steps.

    Args:
        times: Of a look that is due.
        alpha: The false positive rate of all variants and looks together.
        p: Variant -> p-value of this look alone.
    """
    found: dict[str, float] = {}
    level, is_open = 0.0, True
    for place, variant in enumerate(sorted(p, key=lambda name: (p[name], name))):
        if is_open:
            level = nominal(bound_at(times, alpha / (len(p) - place)))
            is_open = p[variant] < level
        found[variant] = level
    return found


def overall(verdicts: Sequence[str | None], *, is_last: bool) -> LookVerdict:
    """Return the verdict over all variants: better if one is, worse if all are.

    Args:
        verdicts: Of each treatment; None counts as undecided.
        is_last: Whether no look comes after this one.

    Returns:
        Where none is better and not all are worse: equal at the last look, undecided before it.
    """
    if "better" in verdicts:
        return "better"
    if verdicts and all(one == "worse" for one in verdicts):
        return "worse"
    return "equal" if is_last else "undecided"
