"""Facts of data: how much of it is in quarantine, and how new it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tastemaker.monitoring.fact_families import FactFamily, FactSources, FactValues

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily
    from sqlalchemy import Row

USUAL_DAYS = 28
"""Days before a source's newest day over which its usual share in quarantine is taken."""

GATE_PASSED = FactFamily(
    "gate_passed", "1 if the newest batch of a source passed the data gate, else 0", ("source",)
)
QUARANTINED = FactFamily(
    "gate_quarantined_ratio",
    "share of the rows of a source's newest day that are in quarantine",
    ("source",),
)
QUARANTINED_ROWS = FactFamily("gate_quarantined_rows", "number of these rows", ("source",))
QUARANTINED_USUALLY = FactFamily(
    "gate_quarantined_usual_ratio",
    f"the same share of the {USUAL_DAYS} days before that day",
    ("source",),
)
NEWEST_EVENT = FactFamily(
    "events_newest_timestamp_seconds",
    "time of a source's newest event, seconds since 1970 UTC",
    ("source",),
)


def gate(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield whether the newest batch of each source passed."""
    from sqlalchemy import select

    from tastemaker.storage.distinct_values import newest_ids
    from tastemaker.storage.tables import gate_results

    columns = gate_results.c
    newest = newest_ids(columns.id, columns.source)
    with home.engine.connect() as connection:
        rows = connection.execute(select(columns.source, columns.passed).where(columns.id.in_(newest))).all()
    yield GATE_PASSED.gauge({(row.source,): float(row.passed) for row in rows})


def quarantine(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield the shares of rows in quarantine, from the results of validated days."""
    from sqlalchemy import select

    from tastemaker.storage.distinct_values import distinct_values
    from tastemaker.storage.tables import ingested_days

    columns = ingested_days.c
    newest: FactValues = {}
    rows: FactValues = {}
    usual: FactValues = {}
    with home.engine.connect() as connection:
        names = distinct_values(columns.source).c.name
        for source in connection.execute(select(names).where(names.is_not(None))).scalars().all():
            mine = select(columns.day, columns.rows_read, columns.rows_quarantined)
            mine = mine.where(columns.source == source, columns.rows_read > 0)
            last = connection.execute(mine.order_by(columns.day.desc()).limit(1)).first()
            if last is None:
                continue
            rows[(source,)] = float(_refused(last))
            newest[(source,)] = _refused(last) / last.rows_read
            period = columns.day.between(last.day - timedelta(days=USUAL_DAYS), last.day - timedelta(days=1))
            days = connection.execute(mine.where(period)).all()
            if days:
                usual[(source,)] = sum(map(_refused, days)) / sum(day.rows_read for day in days)
    yield QUARANTINED.gauge(newest)
    yield QUARANTINED_ROWS.gauge(rows)
    yield QUARANTINED_USUALLY.gauge(usual)


def newest_events(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield the time of each source's newest event in the lake."""
    home.lake.require("newest_events")
    yield NEWEST_EVENT.gauge({(source,): time for source, time in home.lake.newest_events.items()})


def _refused(day: Row[Any]) -> int:
    """Return the number of a day's rows in quarantine."""
    return sum(day.rows_quarantined.values())
