"""What is in service, by the metadata database: versions and their age, deploys, alerts and data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select

from tastemaker.dashboard import measured
from tastemaker.dashboard.charts.specs import ChartTick
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import number, span
from tastemaker.dashboard.measured import VersionKey
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.registry.baseline_comparisons import newest_of
from tastemaker.storage.distinct_values import any_value, distinct_values, newest_ids
from tastemaker.storage.tables import (
    UtcDateTime,
    alert_incidents,
    gate_results,
    ingested_days,
    promotions,
    stalenesses,
    versions,
)

_SHORT = 4
"""Last characters of a version's id that are enough in a chart, where they differ."""


class VersionAge(NamedTuple):
    """How old a version's data are, and what that costs."""

    trained_until: datetime
    metric: str
    """The metric that was measured; empty: the loss was never measured."""
    loss: float | None
    """Share of the metric that a week without training costs; None: not measured, or it has no interval."""
    low: float | None
    """Lower end of its 95 % interval."""
    high: float | None


class NewestData(NamedTuple):
    """The newest day of the events, and when the platform last looked for more."""

    day: date
    checked_at: datetime


def champions(reader: DashboardReader) -> list[VersionKey]:
    """Return the champion of each problem, the one that was promoted last first."""
    newest = newest_ids(promotions.c.id, promotions.c.problem)
    found = (
        select(versions.c.model, versions.c.id)
        .join(promotions, promotions.c.version_id == versions.c.id)
        .where(promotions.c.id.in_(newest))
        .order_by(promotions.c.id.desc())
    )
    return [(row.model, row.id) for row in reader.rows(found)]


def below_baseline(reader: DashboardReader, champions: Sequence[VersionKey]) -> str:
    """Return a sentence if the recipe of the newest champion is worse than the baseline; else an empty text.

    Args:
        reader: Reads the newest comparison with the baseline.
        champions: From `champions`: only the first, which was promoted last, is looked up. May be empty.
    """
    compared = newest_of(reader.engine, champions[0][1]) if champions else None
    if compared is None or not compared.is_worse:
        return ""
    difference, low, high, _ = compared.difference
    return (
        f"On past data the champion's recipe is worse than the baseline {compared.baseline}: "
        f"its {compared.metric} is lower by {number(-difference)} ({span(-high, -low)})."
    )


def answering(reader: DashboardReader) -> list[Row[Any]]:
    """Return the requests of each version on the newest day with figures, the busiest version first."""
    rows = measured.latest(reader, ("requests",), PageFilters(period=1), names=("model", "version"))
    return sorted((row for row in rows if row.version and row.value), key=lambda row: -row.value)


def deploys(reader: DashboardReader, since: datetime) -> list[ChartTick]:
    """Return the promotions and rollbacks since a time, oldest first.

    Args:
        reader: Reads the promotions; has the shop's time zone, for the days.
        since: An aware time, which is included.
    """
    found = (
        select(promotions.c.at, promotions.c.action, versions.c.model, promotions.c.version_id)
        .join(versions, promotions.c.version_id == versions.c.id)
        .where(any_value(promotions.c.problem), promotions.c.at >= since, promotions.c.action != "unfreeze")
        .order_by(promotions.c.id)
    )
    words = {"promote": "promoted", "rollback": "rolled back to"}
    return [
        ChartTick(
            row.at.astimezone(reader.timezone).date(), f"{words[row.action]} {row.model} {row.version_id}"
        )
        for row in reader.rows(found)
    ]


def age(reader: DashboardReader, version: str) -> VersionAge | None:
    """Return how old a version's data are, and what a week without training costs.

    Args:
        reader: Reads the version's manifest and the newest measurement of staleness of its model.
        version: The version's id.

    Returns:
        The age; None for a version that the platform did not train, of which it knows no data.
    """
    columns = versions.c
    found = reader.rows(
        select(
            columns.model, columns.problem, columns.manifest["window"]["end"].as_float().label("end")
        ).where(columns.id == version)
    )
    if not found or found[0].end is None:
        return None
    until = datetime.fromtimestamp(found[0].end, UTC)
    columns = stalenesses.c
    measured_loss = reader.rows(
        select(columns.metric, columns.fresh, columns.loss_per_week)
        .where(columns.problem == found[0].problem, columns.model == found[0].model)
        .order_by(columns.id.desc())
        .limit(1)
    )
    if not measured_loss:
        return VersionAge(until, "", None, None, None)
    row = measured_loss[0]
    fresh, loss = row.fresh["value"], row.loss_per_week
    ends = [loss[name] for name in ("value", "low", "high")]
    if not fresh or None in ends:
        return VersionAge(until, row.metric, None, None, None)
    return VersionAge(until, row.metric, *(end / fresh for end in ends))


def open_alerts(reader: DashboardReader) -> int:
    """Return the number of open alerts."""
    found = select(func.count()).select_from(alert_incidents).where(alert_incidents.c.closed_at.is_(None))
    return int(reader.rows(found)[0][0])


def newest_data(reader: DashboardReader) -> NewestData | None:
    """Return the newest day that has events; None if no day was read yet."""
    days, gate = ingested_days.c, gate_results.c
    sources = distinct_values(days.source)
    mine = days.source == sources.c.name
    day_with_rows = select(days.day).where(mine, days.rows_accepted > 0).order_by(days.day.desc()).limit(1)
    read_at = select(func.max(days.ingested_at, type_=UtcDateTime)).where(mine)
    # One row per source or per result: a maximum of all rows would read them all.
    newest = select(day_with_rows.scalar_subquery(), read_at.scalar_subquery())
    found = reader.rows(newest.where(sources.c.name.is_not(None)))
    checked = [
        reader.rows(select(func.max(gate.checked_at, type_=UtcDateTime)).where(gate.passed.is_(passed)))[0][0]
        for passed in (True, False)
    ]
    days_with_rows = [row[0] for row in found if row[0] is not None]
    looked = [at for at in (*checked, *(row[1] for row in found)) if at is not None]
    return NewestData(max(days_with_rows), max(looked)) if days_with_rows else None


def short_names(keys: Sequence[VersionKey]) -> dict[VersionKey, str]:
    """Return a name of each version that is short enough for a chart, such as `ranker …e828`."""
    length = _SHORT
    while True:
        found = {key: _short(*key, length) for key in keys}
        if len(set(found.values())) == len(set(keys)):
            return found
        length *= 2


def _short(model: str, version: str, length: int) -> str:
    return f"{model} {version}" if len(version) <= 2 * length else f"{model} …{version[-length:]}"
