"""Facts of foreign models: the health that they report, by the names of our own services' metrics.

The sums of all reports are counters, so that the rules about answers and empty lists read them as they read
a service's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from tastemaker.monitoring.fact_families import CounterFamily, FactFamily, FactSources, FactValues

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

FRESH_MINUTES = 15
"""A duration in an older report is not that of the model now."""
FORGOTTEN_DAYS = 7
"""A model that reported no health for so long is taken to be out of service."""

ANSWERS = CounterFamily(
    "answers_total",
    "lists that foreign models reported, as a service counts its own; reason model_error: the bad ones",
    ("model", "stage", "reason"),
)
EMPTY = CounterFamily(
    "empty_answers_total", "lists without items that foreign models reported", ("model", "kind")
)
HEALTH_AT = FactFamily(
    "reported_health_timestamp_seconds",
    "end of the time that a foreign model's newest health report is about, seconds since 1970 UTC",
    ("model",),
)
P99 = FactFamily(
    "reported_p99_seconds", "duration that 1 % of a foreign model's answers exceed, as reported", ("model",)
)


def reported_health(home: FactSources) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """Yield the health of the models that report it, and zeros for those that are announced."""
    from sqlalchemy import or_, select

    from tastemaker.storage.tables import reported_models

    columns = reported_models.c
    since = home.now - timedelta(days=FORGOTTEN_DAYS)
    counted = or_(columns.announced_at.is_not(None), columns.health_at.is_not(None))
    with home.engine.connect() as connection:
        models = connection.execute(select(reported_models).where(counted)).all()
    answers: FactValues = {}
    for one in models:
        answers[one.model, "model", "none"] = float(one.answers - one.bad)
        answers[one.model, "none", "model_error"] = float(one.bad)
    yield ANSWERS.counter(answers)
    yield EMPTY.counter({(one.model, "recommend"): float(one.empty) for one in models})
    alive = [one for one in models if one.health_at is not None and one.health_at >= since]
    yield HEALTH_AT.gauge({(one.model,): one.health_at.timestamp() for one in alive})
    fresh = [one for one in alive if home.now - one.health_at <= timedelta(minutes=FRESH_MINUTES)]
    yield P99.gauge({(one.model,): one.p99_seconds for one in fresh if one.p99_seconds is not None})
