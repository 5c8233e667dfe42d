"""Facts of what the pipeline depends on: when the source's form or the installed packages changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tastemaker.monitoring.fact_families import FactFamily, FactSources, FactValues

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

CHANGED = FactFamily(
    "dependency_changed_timestamp_seconds",
    "when the form of a source or the installed packages last changed, seconds since 1970 UTC; 0: never",
    ("kind", "dependency"),
)


def changed_dependencies(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield the time of the newest change of each dependency."""
    from sqlalchemy import select

    from tastemaker.storage.tables import dependency_changes

    columns = dependency_changes.c
    found: FactValues = {}
    with home.engine.connect() as connection:
        rows = select(columns.kind, columns.name, columns.changes, columns.observed_at).order_by(columns.id)
        for row in connection.execute(rows):
            found[row.kind, row.name] = row.observed_at.timestamp() if row.changes else 0.0
    yield CHANGED.gauge(found)
