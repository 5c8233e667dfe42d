"""Facts of privacy: requests to erase a user that are overdue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tastemaker.monitoring.fact_families import FactFamily, FactSources

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

OVERDUE = FactFamily(
    "erasure_overdue_requests", "requests to erase a user that are open after their deadline"
)


def erasure_requests(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield how many requests are overdue, where there has been one."""
    from sqlalchemy import func, select

    from tastemaker.storage.tables import erasure_requests

    columns = erasure_requests.c
    overdue = func.count().filter(columns.ended_at.is_(None), columns.due_at < home.now)
    with home.engine.connect() as connection:
        entered, late = connection.execute(select(func.count(columns.number), overdue)).one()
    if entered:
        yield OVERDUE.gauge({(): float(late)})
