"""What is known about versions from their training: backtests, and forecasts from the log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select

from tastemaker.dashboard.reader import DashboardReader
from tastemaker.storage.tables import backtests, forecasts, versions


class OfflineFigure(NamedTuple):
    """A version's primary metric in its backtest."""

    metric: str
    value: float
    low: float | None
    high: float | None
    users: int
    rank: int
    """By value, among the newest listed backtest of each model on the same data."""
    of: int
    """How many were ranked."""


class ForecastFigure(NamedTuple):
    """What the log forecast a version would earn per request, beside what it earned."""

    value: float
    low: float | None
    high: float | None
    made_at: datetime
    came: Row[Any] | None
    """The newest measurement of its reward per request over 28 days; None: it did not answer since."""

    @property
    def holds(self) -> bool | None:
        """Whether the intervals overlap; None: there are not two intervals."""
        came = self.came
        if came is None or None in (self.low, self.high, came.low, came.high):
            return None
        return bool(self.low <= came.high and came.low <= self.high)


def offline(reader: DashboardReader, ids: Sequence[str]) -> dict[str, OfflineFigure]:
    """Return the primary metric of versions that have a backtest.

    Args:
        reader: Reads the tables of versions and backtests.
        ids: Ids of versions; those of other systems may be among them.

    Returns:
        Figures by version; a version without a backtest, or without a value of the metric, is not among them.
    """
    metric = versions.c.manifest["problem_spec"]["metric"].as_string().label("metric")
    columns = (backtests.c.metrics, backtests.c.users, backtests.c.problem, backtests.c.data_hash)
    found = reader.rows(
        select(versions.c.id, metric, backtests.c.model, *columns)
        .join(backtests, versions.c.backtest_id == backtests.c.id)
        .where(versions.c.id.in_(ids))
    )
    ranked = {(row.problem, row.data_hash): _listed(reader, row.problem, row.data_hash) for row in found}
    figures = {}
    for row in found:
        mine = row.metrics.get(row.metric)
        if mine is None or mine["value"] is None:
            continue
        others = [
            one[row.metric]["value"]
            for model, one in ranked[row.problem, row.data_hash].items()
            if model != row.model and row.metric in one
        ]
        better = sum(value > mine["value"] for value in others if value is not None)
        figures[row.id] = OfflineFigure(
            row.metric, mine["value"], mine["low"], mine["high"], row.users, 1 + better, 1 + len(others)
        )
    return figures


def _listed(reader: DashboardReader, problem: str, data_hash: str) -> dict[str, dict[str, Any]]:
    """Return the metrics of each model's newest listed backtest on some data."""
    columns = backtests.c
    rows = reader.rows(
        select(columns.model, columns.metrics)
        .where(columns.problem == problem, columns.data_hash == data_hash, columns.listed_at.is_not(None))
        .order_by(columns.listed_at, columns.id.desc())
    )
    return {row.model: row.metrics for row in rows}


def forecast(
    reader: DashboardReader, ids: Sequence[str], came: Sequence[Row[Any]]
) -> dict[str, ForecastFigure]:
    """Return the newest forecast of versions that have one, by version.

    Args:
        reader: Reads the table of forecasts.
        ids: Ids of versions.
        came: Measurements of `reward_per_request`; of several of one version the last with a value counts.
    """
    columns = forecasts.c
    newest = select(func.max(columns.id)).where(columns.version_id.in_(ids)).group_by(columns.version_id)
    rows = reader.rows(select(forecasts).where(columns.id.in_(newest)))
    earned = {row.version: row for row in came if row.value is not None}
    return {
        row.version_id: ForecastFigure(
            value=estimate["value"],
            low=_finite(estimate["low"]),
            high=_finite(estimate["high"]),
            made_at=row.created_at,
            came=earned.get(row.version_id),
        )
        for row in rows
        if (estimate := row.estimates.get(row.estimator)) and _finite(estimate["value"]) is not None
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
