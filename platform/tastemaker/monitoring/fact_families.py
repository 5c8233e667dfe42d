"""Parts of which facts are made: what a subject reads, and the families of metrics that it yields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from sqlalchemy import Engine

    from tastemaker.monitoring.lake_reading import LakeReading
    from tastemaker.settings import Settings


FactValues = dict[tuple[str, ...], float]
"""Values of labels, in the order of the family's `labels` -> the value."""


@dataclass(frozen=True)
class FactSources:
    """What subjects read: the settings, the metadata database, and what is known of the lake."""

    settings: Settings
    engine: Engine
    lake: LakeReading
    now: datetime


@dataclass(frozen=True)
class FactFamily:
    """A gauge of facts, by name; `tastemaker_` is put before it."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def metric_name(self) -> str:
        """The name with its prefix."""
        return f"tastemaker_{self.name}"

    def gauge(self, values: FactValues) -> GaugeMetricFamily:
        """Return the gauge with a value per set of labels."""
        from prometheus_client.core import GaugeMetricFamily

        gauge = GaugeMetricFamily(self.metric_name, self.meaning, labels=self.labels)
        for labels, value in values.items():
            gauge.add_metric(labels, value)
        return gauge


@dataclass(frozen=True)
class CounterFamily(FactFamily):
    """A sum that only rises, whose name ends in `_total`."""

    def counter(self, values: FactValues) -> CounterMetricFamily:
        """Return the counter with a value per set of labels."""
        from prometheus_client.core import CounterMetricFamily

        counter = CounterMetricFamily(self.metric_name, self.meaning, labels=self.labels)
        for labels, value in values.items():
            counter.add_metric(labels, value)
        return counter
