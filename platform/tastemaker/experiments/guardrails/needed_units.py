"""How many units a step needs at the least: until the guard calls a variant without any fault safe."""

from __future__ import annotations

import numpy as np

from tastemaker.experiments.design import Design
from tastemaker.experiments.guardrails.metric_guards import metric_guards
from tastemaker.experiments.guardrails.verdicts import MIN_UNITS, OVER, UNDER, MetricGuard, evaluate
from tastemaker.stats.unit_summary import UnitSummary

_MOST = 1 << 24
"""Units beyond which no margin is ever shown to be kept."""


def units_until_safe(design: Design) -> int:
    """Return the units per variant after which every guardrail of the service can be safe.

    It is found by the guard's own verdict on units with one list each, of which none is faulty, so that
    variants with faults need more.

    Args:
        design: The design, whose variants have equal shares.
    """
    guards = metric_guards(design, 0, lambda metric: True)
    serving = [guard for its in guards.values() for guard in its if guard.family == "serving"]
    return max((_until_safe(guard) for guard in serving), default=MIN_UNITS)


def _until_safe(guard: MetricGuard) -> int:
    low, high = MIN_UNITS, MIN_UNITS
    while high < _MOST and not _is_safe(guard, high):
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_safe(guard, middle) else (middle + 1, high)
    return high


def _is_safe(guard: MetricGuard, units: int) -> bool:
    faultless = UnitSummary.of({OVER: np.zeros(units), UNDER: np.ones(units)})
    return evaluate(guard, faultless, faultless).verdict == "safe"
