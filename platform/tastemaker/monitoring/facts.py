"""Facts of data, models and jobs as Prometheus' metrics, for the watcher.

A subject is a function that reads the metadata database, and yields gauges. What it needs of the lake is
there, too (`lake_reading`). It reads aggregates alone, in seconds at most. Services count what they do by
themselves (`tastemaker.serving.runtime`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tastemaker.monitoring import (
    data_facts,
    dependency_facts,
    drift_facts,
    experiment_facts,
    feature_facts,
    job_facts,
    model_facts,
    privacy_facts,
    report_facts,
    reward_facts,
    rollout_facts,
)
from tastemaker.monitoring.fact_families import FactFamily, FactSources

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from tastemaker.settings import Settings

Subject = Callable[[FactSources], Iterator["Metric"]]

SUBJECTS: tuple[Subject, ...] = (
    data_facts.gate,
    data_facts.quarantine,
    data_facts.newest_events,
    model_facts.served_versions,
    model_facts.champion_recipe,
    drift_facts.drift,
    feature_facts.missing_features,
    feature_facts.feature_skew,
    reward_facts.rewards,
    report_facts.reported_health,
    experiment_facts.experiment_states,
    experiment_facts.experiment_checks,
    rollout_facts.rollout_steps,
    dependency_facts.changed_dependencies,
    job_facts.jobs,
    job_facts.run_queue,
    job_facts.executor_queue,
    privacy_facts.erasure_requests,
)
"""What is read. A subject is known by its function's name."""

FAILED = FactFamily(
    "fact_failed", "1 if the facts of a subject could not be read and are missing, else 0", ("subject",)
)

logger = logging.getLogger("tastemaker.monitoring")


def collect(settings: Settings) -> Iterator[Metric]:
    """Yield the facts of every subject, and which subjects could not be read. It never raises.

    A subject that fails yields nothing but `tastemaker_fact_failed{subject}` with 1; the reason is logged.

    Args:
        settings: The home folder, the metadata database and the thresholds.
    """
    found: list[Metric] = []
    try:
        failed = _read(settings, found)
    except Exception as error:
        logger.warning("no facts can be read: %s", error)
        failed = [subject.__name__ for subject in SUBJECTS]
    yield from found
    yield FAILED.gauge({(subject.__name__,): float(subject.__name__ in failed) for subject in SUBJECTS})


def _read(settings: Settings, found: list[Metric]) -> list[str]:
    """Add the facts to a list; return the subjects that failed."""
    from tastemaker.monitoring.lake_reading import newest_reading
    from tastemaker.storage.engine import open_engine

    failed = []
    engine = open_engine(settings.metadata_url)
    try:
        now = datetime.now(UTC)
        home = FactSources(settings, engine, newest_reading(engine, now), now)
        for subject in SUBJECTS:
            try:
                found += list(subject(home))
            except Exception as error:
                logger.warning("the facts of %s can't be read: %s", subject.__name__, error)
                failed.append(subject.__name__)
    finally:
        engine.dispose()
    return failed
