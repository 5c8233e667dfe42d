"""The guardrails of an experiment: which metrics are guarded, by which margin and at which error rate.

The five metrics of the service are guarded in every experiment whose variants are services, and the primary
metric in every experiment. A design names others, or other margins.

    α of a guardrail = 0.01 / 2 / (guardrails of its family × variants) · 6 / (π² (epoch + 1)²)

so that an experiment without a difference is rolled back with a probability of at most 1 % in its whole life,
however many epochs it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tastemaker.experiments.design import Design
from tastemaker.experiments.guardrails.verdicts import MIN_UNITS, Family, MetricGuard
from tastemaker.experiments.plan import BUCKETS
from tastemaker.experiments.serving_margins import SERVING_MARGINS

ALPHA = 0.01
"""Probability of a rollback without a reason, over an experiment's life."""
PRIMARY_MARGIN = 0.05
"""By how much of control the primary metric may be worse, unless the design says something else."""


def compared_variants(design: Design) -> tuple[str, ...]:
    """Return the variants that are compared with control."""
    return tuple(name for name in design.variants if name != design.control)


def metric_guards(
    design: Design, epoch: int, is_higher_better: Callable[[str], bool]
) -> dict[str, tuple[MetricGuard, ...]]:
    """Return the guardrails of each variant that is compared with control.

    Args:
        design: The experiment's design.
        epoch: From 0. Each epoch begins with no units, and has a part of the error rate.
        is_higher_better: Whether more of a metric of users is better.
    """
    stated = {one.metric: one.margin for one in design.guardrails}
    serving = {name: stated.get(name, margin) for name, margin in SERVING_MARGINS.items()}
    if any(variant.version is None for variant in design.variants.values()):
        del serving["wrong_version_share"]  # a recipe's version changes as it is trained again
    if all(variant.model is None for variant in design.variants.values()):
        serving = {}  # flags of the shop's own code: no list of ours is part of them
    reward = {name: margin for name, margin in stated.items() if name not in SERVING_MARGINS}
    if design.primary not in SERVING_MARGINS:
        reward.setdefault(design.primary, PRIMARY_MARGIN)
    variants = compared_variants(design)
    of_family = ALPHA / 2 * 6 / (math.pi * (epoch + 1)) ** 2

    def family(name: Family, margins: dict[str, float], variant: str) -> list[MetricGuard]:
        alpha = of_family / (max(len(margins), 1) * len(variants))
        tuned_at = first_step_information(design, variant)
        return [
            MetricGuard(metric, name, margin, alpha, tuned_at, name == "reward" and is_higher_better(metric))
            for metric, margin in margins.items()
        ]

    return {one: (*family("serving", serving, one), *family("reward", reward, one)) for one in variants}


def first_step_information(design: Design, variant: str) -> float:
    """Return n_T n_C / (n_T + n_C) of the units that the plan has at its first step of enrolment.

    Args:
        design: Gives the planned units, the first step and the shares.
        variant: The treatment, n_T; control is n_C. Each counts for at least `MIN_UNITS`.
    """
    total = sum(one.share for one in design.variants.values())
    first = design.planned_units * design.steps[0] / BUCKETS
    treatment, control = (
        max(first * design.variants[name].share / total, MIN_UNITS) for name in (variant, design.control)
    )
    return treatment * control / (treatment + control)
