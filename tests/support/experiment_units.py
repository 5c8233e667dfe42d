"""Designs and random tables of units, of which the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tastemaker.experiments.analysis.look import Look, look_at
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.experiments.design import Design, VariantDesign
from tastemaker.experiments.unit_metrics import METRICS

DAY = 86_400.0
WINDOW_DAYS = 3.0


def design(
    variants: Sequence[str] = ("A", "B"), *, shares: Sequence[int] | None = None, **more: Any
) -> Design:
    """A design whose first variant is control; without shares (buckets) the variants have equal ones."""
    buckets = shares or [1_000_000 // len(variants)] * len(variants)
    chosen: dict[str, Any] = {
        "name": "ranker_b",
        "namespace": "home",
        "owner": "ada",
        "hypothesis": "B shows what users want",
        "control": variants[0],
        "variants": {
            name: VariantDesign(share, model="ranker", version=f"r-{name}")
            for name, share in zip(variants, buckets, strict=True)
        },
        "primary": "reward_per_user",
        "minimum_effect": 0.05,
        "planned_units": 2_000,
        "window_days": WINDOW_DAYS,
    } | more
    return Design(**chosen)


def units(
    n: int = 2_000,
    *,
    seed: int = 0,
    days: float = 14,
    effect: float = 0.0,
    variants: Sequence[str] = ("A", "B"),
    odds: Sequence[float] | None = None,
) -> UnitTable:
    """Units whose rewards are mostly 0 and have a heavy tail, over so many days; all are mature at the end.

    Args:
        n: Number of units.
        seed: Seed.
        days: Length of the enrolment.
        effect: What each treatment adds to the mean reward, relative to control's.
        variants: Their names; the first is control.
        odds: Probability of each variant; None: equal ones.
    """
    rng = np.random.default_rng(seed)
    variant = rng.choice(len(variants), n, p=odds)
    before = rng.gamma(0.3, 4, n)
    bought = rng.random(n) < 0.3
    reward = np.where(bought, rng.lognormal(1, 1, n), 0.0) + 0.4 * before
    reward *= 1 + effect * (variant > 0)
    lists = rng.poisson(3, n) + 1.0
    columns = {
        "reward": reward,
        "lists": lists,
        "rewarded_lists": rng.binomial(lists.astype(int), 0.2).astype(float),
        "fallback_lists": rng.binomial(lists.astype(int), 0.02).astype(float),
        "is_active": bought.astype(float),
        "reward_before": before,
        "lists_before": rng.poisson(2, n).astype(float),
        "is_unknown": (before < 0.1).astype(float),
    }
    return UnitTable.of(
        variants, variant, rng.uniform(0, days * DAY, n), columns,
        window_days=WINDOW_DAYS, until=(days + WINDOW_DAYS) * DAY,
    )  # fmt: skip


def looks(table: UnitTable, plan: Design, *, every_days: float = 1.0) -> list[Look]:
    """All looks at a table, taken regularly until one decides or the table ends."""
    found: list[Look] = []
    past: list[float] = []
    until = every_days * DAY
    while until <= table.until:
        look = look_at(table.as_of(until), plan, METRICS, past=past)
        found.append(look)
        if look.is_planned:
            past.append(look.information)
        if look.verdict in ("better", "worse", "equal"):
            break
        until += every_days * DAY
    return found
