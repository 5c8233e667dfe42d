"""The facts that the watcher exports: those that the modules of its subjects declare, and those of a home."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from sqlalchemy import insert

from tastemaker.monitoring import facts
from tastemaker.monitoring.fact_families import FactFamily
from tastemaker.monitoring.lake_queries import record_lake
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine

Exported = dict[str, dict[tuple[str, ...], float]]


def declared_facts() -> dict[str, FactFamily]:
    """Return the families by their metrics' names, in the order of the subjects."""
    return {family.metric_name: family for family in _families()}


def _families() -> Iterator[FactFamily]:
    yield facts.FAILED
    for module in dict.fromkeys(subject.__module__ for subject in facts.SUBJECTS):
        yield from (value for value in vars(sys.modules[module]).values() if isinstance(value, FactFamily))


def exported(settings: Settings) -> Exported:
    """Return metric without its prefix -> values of labels, in the family's order -> value."""
    found: Exported = {}
    record_lake(settings)
    declared = declared_facts()
    for metric in facts.collect(settings):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        family = declared[name]
        for sample in metric.samples:
            key = tuple(sample.labels[name] for name in family.labels)
            found.setdefault(family.name, {})[key] = sample.value
    return found


def store(settings: Settings, table: Any, *rows: dict[str, Any]) -> None:
    """Store rows in a table of the home's metadata."""
    engine = open_engine(settings.metadata_url)
    with engine.begin() as connection:
        connection.execute(insert(table), list(rows))
    engine.dispose()
