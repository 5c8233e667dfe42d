"""Checks of an experiment's guardrails, and whether the whole platform is at fault."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tastemaker.experiments.design import Design
from tastemaker.experiments.guardrails.metric_guards import compared_variants
from tastemaker.experiments.guardrails.serving_units import ServingUnits
from tastemaker.experiments.guardrails.verdicts import (
    MIN_UNITS,
    OVER,
    STALE,
    UNDER,
    Family,
    GuardVerdict,
    MetricGuard,
    Verdict,
    evaluate,
)
from tastemaker.stats.mismatch_level import RATIO_ALPHA
from tastemaker.stats.sample_ratio import log_bayes_factor
from tastemaker.stats.unit_summary import UnitSummary

SAMPLE_RATIO = "sample_ratio"
"""The guardrail that variants have the units that the plan assigns to them."""
STALE_SECONDS = 600.0
"""How old the newest request may be for figures of the service to say something about now."""
INCIDENT_SHARE = 0.2
"""Share of faulty lists, in the last minutes and in every variant, that is the platform's fault and not a
variant's."""
INCIDENT_METRICS = ("fallback_share", "empty_share", "slow_share")

ByVariant = Mapping[str, UnitSummary]


class RewardUnits(NamedTuple):
    """The units of one epoch of an experiment, with what their users did."""

    counts: Mapping[str, int]
    """All units by variant."""
    summaries: Mapping[str, ByVariant]
    """Metric -> variant -> its matured units, with the columns `OVER` and `UNDER`."""


class GuardrailCheck(NamedTuple):
    """A guardrail of a variant, checked once."""

    variant: str
    guardrail: str
    margin: float
    found: GuardVerdict


def metric_checks(
    design: Design,
    guards: Mapping[str, Sequence[MetricGuard]],
    family: Family,
    summaries: Mapping[str, ByVariant] | None,
) -> Iterator[GuardrailCheck]:
    """Yield the checks of the metrics of one family.

    Args:
        design: The experiment's design.
        guards: The guardrails of each variant.
        family: Whose guardrails are checked.
        summaries: Metric -> variant -> its units. None, or a missing metric: no current data.
    """
    for variant, its in guards.items():
        for guard in (one for one in its if one.family == family):
            units = (summaries or {}).get(guard.metric, {})
            found = evaluate(guard, units.get(variant), units.get(design.control))
            yield GuardrailCheck(variant, guard.metric, guard.margin, found)


def current(units: ServingUnits | None, now: float) -> ServingUnits | None:
    """Return the units if their newest request is new enough to say something about now, else None.

    Args:
        units: The units of an epoch; None: they could not be read.
        now: Seconds since 1970 UTC.

    Returns:
        None where there is no request, or the newest is more than `STALE_SECONDS` old.
    """
    is_fresh = units is not None and units.newest_at is not None and now - units.newest_at <= STALE_SECONDS
    return units if is_fresh else None


def ratio_p(design: Design, counts: Mapping[str, int]) -> float:
    """Return the anytime-valid p-value of the units by variant.

    Whoever checks it repeatedly and acts when it first falls below a level has the smallest one until then.

    Args:
        design: Gives each variant its share.
        counts: Units by variant since the epoch began.
    """
    total = sum(one.share for one in design.variants.values())
    shares = [one.share / total for one in design.variants.values()]
    return math.exp(-max(log_bayes_factor([counts.get(name, 0) for name in design.variants], shares), 0.0))


def ratio_checks(design: Design, counts: Mapping[str, int] | None) -> Iterator[GuardrailCheck]:
    """Yield the check of the sample ratio per variant: its share of the units beside the planned one.

    Args:
        design: The experiment's design.
        counts: Units by variant since the epoch began; None: no current data.
    """
    seen = sum(counts.values()) if counts else 0
    total = sum(one.share for one in design.variants.values())
    for variant in compared_variants(design):
        found = STALE
        if counts is not None and seen:
            verdict: Verdict = "harm" if ratio_p(design, counts) < RATIO_ALPHA else "safe"
            units = counts.get(variant, 0), counts.get(design.control, 0)
            found = GuardVerdict(verdict, *units, units[0] / seen, design.variants[variant].share / total)
        yield GuardrailCheck(variant, SAMPLE_RATIO, RATIO_ALPHA, found)


def incident(design: Design, recent: Mapping[str, ByVariant]) -> str | None:
    """Return the metric by which control and all other variants are faulty at once; None if there is none.

    Args:
        design: The experiment's design.
        recent: Metric -> variant -> the units of the last minutes.
    """
    for metric in INCIDENT_METRICS:
        units = [recent.get(metric, {}).get(variant) for variant in design.variants]
        if all(one is not None and one.n >= MIN_UNITS and _share(one) >= INCIDENT_SHARE for one in units):
            return metric
    return None


def _share(units: UnitSummary) -> float:
    over, under = (float(units.mean[units.at(name)]) for name in (OVER, UNDER))
    return over / under if under > 0 else 0.0
