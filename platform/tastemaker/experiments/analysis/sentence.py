"""The result of a look in one plain sentence: what the variant did, how sure that is, and what it decides."""

from __future__ import annotations

import math

from tastemaker.experiments.analysis.awaited import awaited, awaited_words, hint_of_end
from tastemaker.experiments.analysis.comparison import LookEffect
from tastemaker.experiments.analysis.decision import Timing
from tastemaker.experiments.analysis.sample_check import SampleCheck
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.experiments.design import Design
from tastemaker.experiments.unit_metrics import UnitMetric
from tastemaker.util.counted import counted
from tastemaker.util.durations import in_words

_DECIDED = {
    "better": "better than {control}",
    "worse": "worse than {control}",
    "equal": "not distinguishable from {control} at the end",
    "undecided": "not decided",
}


def sentence(metric: UnitMetric, design: Design, effect: LookEffect, times: Timing) -> str:
    """Return the sentence about one variant.

    Args:
        metric: The primary metric.
        design: Gives the name of control, α and the number of looks.
        effect: The effect that decides, with the interval that it decides by.
        times: Where the experiment is in its plan.
    """
    decided = _DECIDED[effect.verdict or "undecided"].format(control=design.control)
    return f"{_figures(metric, design, effect)}, {place(design, times)}: {decided}."


def none_mature(design: Design, units: UnitTable, epoch: int) -> str:
    """Return the sentence of a look without mature units.

    Args:
        design: Gives the length of the windows.
        units: All units that were exposed, none of which is mature.
        epoch: The epoch in force; 0, the first, is not named.
    """
    if not len(units):
        return f"No unit was exposed in epoch {epoch} yet." if epoch else "No unit was exposed yet."
    if late := awaited(units):
        waiting = ", ".join(map(awaited_words, late))
        return f"None of {counted(len(units), 'unit')} is mature, waiting for {waiting}.{hint_of_end(late)}"
    window = in_words(design.window_days)
    return (
        f"None of {counted(len(units), 'unit')} is mature: their windows of {window} are not over in the log."
    )


def nothing_counted(metric: UnitMetric, mature: UnitTable) -> str:
    """Return the sentence of a look at which no unit has anything that the primary metric counts.

    Args:
        metric: The primary metric.
        mature: The mature units; their number is shown.
    """
    return (
        f"{metric.title} is 0 for all {len(mature):,} mature units: nothing is decided, because events that "
        "are missing in the log look the same."
    )


def divided_wrongly(units: UnitTable, check: SampleCheck) -> str:
    """Return the sentence of an invalid look, which has no effect.

    Args:
        units: All units, mature or not; their number is shown by variant.
        check: The check that found it, with at least one p-value; the smaller one is shown.
    """
    p = min(one for one in (check.p, check.anytime_p) if one is not None)
    counted = ", ".join(f"{name} {count:,}" for name, count in units.counts().items())
    return f"Units are not divided as planned ({counted}; p = {p:.1g}): no effect can be believed."


def place(design: Design, times: Timing) -> str:
    """Return which look it is, such as `look 9 of 14`, or before which one it is taken.

    Args:
        design: Gives the number of looks and the planned units.
        times: Where the experiment is in its plan.
    """
    if times.is_due:
        return f"look {times.number} of {times.number + times.left}"
    if times.information >= 1:
        return "at the end"
    at = math.ceil((design.looks - times.left + 1) / design.looks * design.planned_units)
    return f"before look {times.number} at {at:,} mature units"


def _figures(metric: UnitMetric, design: Design, effect: LookEffect) -> str:
    if effect.difference is None or effect.low is None or effect.high is None:
        return f"{effect.variant}: too few units for {metric.title.lower()}"
    level = f"{100 * (1 - design.alpha):g} %"
    low, high = effect.relative_low, effect.relative_high
    if effect.relative is None or low is None or high is None or not math.isfinite(low + high):
        ends = f"{level} {_signed(effect.low)} to {_signed(effect.high)}"
        return f"{metric.title} of {effect.variant} differs by {_signed(effect.difference)}, {ends}"
    change = f"{_percent(abs(effect.relative))} % {'more' if effect.relative >= 0 else 'less'}"
    ends = f"{level} {_percent(low)} to {_percent(high)}"
    if metric.name == "reward_per_user":
        return f"{effect.variant} earned {change} per user, {ends}"
    change = f"{_percent(abs(effect.relative))} % {'higher' if effect.relative >= 0 else 'lower'}"
    return f"{metric.title} of {effect.variant} is {change}, {ends}"


def _percent(share: float) -> str:
    """Return a share in per cent with a decimal, or with so many that it does not become 0."""
    return _rounded(100 * share, 1)


def _signed(value: float) -> str:
    return _rounded(value, 3)


def _rounded(value: float, digits: int) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    if abs(value) < 10.0**-digits:
        digits = -math.floor(math.log10(abs(value)))
    return f"{value:.{digits}f}".replace("-", "−")
