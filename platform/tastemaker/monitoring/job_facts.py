"""Facts of jobs: how they ended, and how many runs and tasks wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.monitoring.fact_families import FactFamily, FactSources, FactValues

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

OBSERVED_SECONDS = 300
"""A length that was observed longer ago is not shown: the daemon that observes it may not run."""
SEEN = timedelta(days=7)
"""How long it is shown when a daemon was seen last: one that is gone for longer is no longer used."""
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""What Kombu adds to a queue's name on Redis, one list per step of the priority (0, 3, 6, 9)."""
REDIS_SECONDS = 5

SUCCEEDED = FactFamily(
    "job_succeeded_timestamp_seconds",
    "when a job last succeeded, seconds since 1970 UTC",
    ("job_name",),
)
FAILED = FactFamily("job_failed", "1 if the last run of a job failed or was canceled, else 0", ("job_name",))
REFUSED = FactFamily(
    "job_refused", "1 if the data gate has refused a batch since a job last succeeded, else 0", ("job_name",)
)
ORCHESTRATOR_SEEN = FactFamily(
    "orchestrator_seen_timestamp_seconds",
    "when the orchestrator's daemon last reported its queue, seconds since 1970 UTC",
)
RUN_QUEUE = FactFamily("run_queue_runs", "runs of the orchestrator that wait to be started")
EXECUTOR_QUEUE = FactFamily("executor_queue_tasks", "tasks that wait in a queue of Celery's", ("queue",))


def jobs(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield when each job last succeeded, whether its last run failed, and whether the gate refused data."""
    from sqlalchemy import func, select

    from tastemaker.monitoring.job_runs import newest_runs
    from tastemaker.storage.tables import UtcDateTime, gate_results

    succeeded: FactValues = {}
    failed: FactValues = {}
    with home.engine.connect() as connection:
        for name, ended_at, succeeded_at in connection.execute(newest_runs()):
            if succeeded_at is not None:
                succeeded[(name,)] = succeeded_at.timestamp()
            failed[(name,)] = float(succeeded_at is None or succeeded_at < ended_at)
        refusals = select(func.max(gate_results.c.checked_at, type_=UtcDateTime)).where(
            ~gate_results.c.passed
        )
        newest_refusal = connection.execute(refusals).scalar_one()
    refused_at = 0.0 if newest_refusal is None else newest_refusal.timestamp()
    refused = {name: float(succeeded.get(name, 0.0) < refused_at) for name in failed}
    yield SUCCEEDED.gauge(succeeded)
    yield FAILED.gauge(failed)
    yield REFUSED.gauge(refused)


def run_queue(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield when the orchestrator's daemon observed its queue last, and how many runs waited then."""
    from sqlalchemy import select

    from tastemaker.monitoring.job_runs import RUNS
    from tastemaker.storage.tables import queue_lengths

    with home.engine.connect() as connection:
        row = connection.execute(select(queue_lengths).where(queue_lengths.c.queue == RUNS)).first()
    if row is None or home.now - row.observed_at > SEEN:
        return
    yield ORCHESTRATOR_SEEN.gauge({(): row.observed_at.timestamp()})
    if (home.now - row.observed_at).total_seconds() <= OBSERVED_SECONDS:
        yield RUN_QUEUE.gauge({(): float(row.length)})


def executor_queue(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield how many tasks wait in Celery's queues on Redis, where they are configured.

    Raises:
        TastemakerError: The broker's URL is not that of a Redis, or is missing.
        redis.RedisError: The broker does not answer.
    """
    import os

    celery = home.settings.watch.celery
    if not celery.queues:
        return
    import redis

    url = os.environ.get(celery.url_variable, "")
    if not url.startswith(("redis://", "rediss://")):
        raise TastemakerError(
            f"the environment variable {celery.url_variable} has no URL that begins with redis:// or rediss://",
            fix="set it to the URL of Celery's broker; queues on other brokers can't be read",
        )
    with redis.Redis.from_url(
        url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
    ) as broker:
        lengths = {
            queue: sum(_length(broker.llen(queue + end)) for end in PRIORITIES) for queue in celery.queues
        }
    yield EXECUTOR_QUEUE.gauge({(queue,): float(length) for queue, length in lengths.items()})


def _length(found: object) -> int:
    """Return a length that Redis returned."""
    return int(str(found))
