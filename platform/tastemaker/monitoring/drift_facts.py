"""Facts of drift: the distances of the newest drift report of each served model, and what is usual."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from tastemaker.monitoring.fact_families import FactFamily, FactSources, FactValues

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

COLUMN = ("model", "version", "side", "column")
REPORT_DAYS = 3
"""An older report says nothing about now: its job has failed since."""

DISTANCE = FactFamily(
    "drift_distance", "distance of a column's newest day from the weeks before the training ended", COLUMN
)
THRESHOLD = FactFamily("drift_threshold", "distance of that column that only a change exceeds", COLUMN)


def drift(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield distance and threshold of each column of the newest drift report of each served model.

    The report is the model's, whichever of its versions it is about: after a nightly training, the version
    that is served has none yet.
    """
    from sqlalchemy import select

    from tastemaker.monitoring.model_facts import served
    from tastemaker.storage.tables import reports, versions

    distances: FactValues = {}
    thresholds: FactValues = {}
    for model in {target.model for target in served(home)}:
        newest = (
            select(reports.c.version_id, reports.c.summary)
            .join(versions, versions.c.id == reports.c.version_id)
            .where(reports.c.kind == "drift", versions.c.model == model)
            .where(reports.c.created_at >= home.now - timedelta(days=REPORT_DAYS))
            .order_by(reports.c.created_at.desc(), reports.c.id.desc())
            .limit(1)
        )
        with home.engine.connect() as connection:
            row = connection.execute(newest).first()
        if row is None:
            continue
        for column in row.summary["columns"]:
            if column["threshold"] is not None:
                labels = (model, row.version_id, column["side"], column["column"])
                distances[labels], thresholds[labels] = column["distance"], column["threshold"]
    yield DISTANCE.gauge(distances)
    yield THRESHOLD.gauge(thresholds)
