"""Spread over seeds: how much a model's figure depends on chance in training.

    s_seeds = √(Σ_s (x_s - x̄)² / (n - 1))      the standard deviation over n seeds
    s_users = (high - low) / (2 · 1.96)          the standard error over users, from their interval

The interval over users says how the figure of this one fit would vary with other users; it does not say how
another fit would differ. Where s_seeds is the larger, two figures may differ because of their seeds alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sqlalchemy import Engine, insert, select, update

from tastemaker.stats.bootstrap import Interval
from tastemaker.storage.tables import seed_spreads

if TYPE_CHECKING:
    from tastemaker.evaluation.backtest import Backtester, Report

SEEDS = 5
_NORMAL = 1.959964


@dataclass(frozen=True)
class SeedSpread:
    """Figures of one model and config with several training seeds."""

    backtest_id: str
    """Id of the first seed's backtest, which the leaderboard shows."""
    seeds: tuple[int, ...]
    metrics: dict[str, tuple[float, ...]]
    """The figure with each seed, by metric."""
    created_at: datetime

    def deviation(self, metric: str) -> float:
        """Return s_seeds of a metric."""
        return float(np.std(self.metrics[metric], ddof=1))

    def larger(self, metric: str, users: Interval) -> Literal["seeds", "users", "neither", "unknown"]:
        """Return which is larger, the spread over seeds or the error over users.

        Args:
            metric: The name of the metric.
            users: The metric's interval over users; without one the answer is unknown.
        """
        seeds, error = self.deviation(metric), standard_error(users)
        if not isfinite(seeds - error):
            return "unknown"
        return "neither" if seeds == error == 0 else "seeds" if seeds > error else "users"


def standard_error(interval: Interval) -> float:
    """Return s_users; NaN where there is no interval."""
    return (interval.high - interval.low) / (2 * _NORMAL)


def measure(
    backtester: Backtester, seed: int, count: int = SEEDS, report: Report | None = None
) -> SeedSpread:
    """Run the backtest with `count` seeds from `seed` on, and store their spread.

    Args:
        backtester: The model, its config and the data.
        seed: The first seed, that of the settings, whose figure the leaderboard shows.
        count: The number of seeds; a spread needs at least two.
        report: Called after each backtest with its seed and its figure; None for no calls.

    Returns:
        The spread of each metric, as it is stored.
    """
    metric = backtester.dataset.problem.metric
    found = []
    for each in range(seed, seed + count):
        found.append(backtester.run(backtester.split if each == seed else backtester.dataset.split(each)))
        if report:
            report(f"seed {each}", found[-1].metrics[metric].value)
    spread = SeedSpread(
        found[0].id,
        tuple(range(seed, seed + count)),
        {name: tuple(one.metrics[name].value for one in found) for name in found[0].metrics},
        datetime.now(UTC),
    )
    _put(backtester.engine, spread)
    return spread


def _put(engine: Engine, spread: SeedSpread) -> None:
    """Store a spread, replacing that of the same backtest."""
    row = asdict(spread)
    same = seed_spreads.c.backtest_id == spread.backtest_id
    with engine.begin() as connection:
        if not connection.execute(update(seed_spreads).where(same).values(row)).rowcount:
            connection.execute(insert(seed_spreads).values(row))


def load(engine: Engine, backtest_ids: Collection[str]) -> dict[str, SeedSpread]:
    """Return the stored spreads over seeds by backtest id.

    Args:
        engine: Of the metadata database.
        backtest_ids: Ids of the first seeds' backtests. One whose spread was not measured is left out.
    """
    wanted = select(seed_spreads).where(seed_spreads.c.backtest_id.in_(sorted(backtest_ids)))
    with engine.connect() as connection:
        rows = connection.execute(wanted).mappings().all()
    return {
        row["backtest_id"]: SeedSpread(
            row["backtest_id"],
            tuple(row["seeds"]),
            {name: tuple(values) for name, values in row["metrics"].items()},
            row["created_at"],
        )
        for row in rows
    }


def to_dict(spread: SeedSpread, metric: str, users: Interval) -> dict[str, Any]:
    """Return a spread in one metric, in types that JSON has.

    Args:
        spread: The figures with each seed.
        metric: The name of the metric.
        users: The metric's interval over users.
    """
    return {
        "seeds": list(spread.seeds),
        "figures": list(spread.metrics[metric]),
        "deviation": spread.deviation(metric),
        "standard_error_users": error if isfinite(error := standard_error(users)) else None,
        "larger": spread.larger(metric, users),
    }
