"""Runs of jobs, and the lengths of queues: the tables `job_runs` and `queue_lengths`, which alerts read.

The orchestrator writes them, and nothing here knows which one it is.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Select, delete, insert, select

from tastemaker.storage.distinct_values import distinct_values
from tastemaker.storage.tables import job_runs, queue_lengths

ALL_ASSETS = "everything"
"""Name of the job that makes all assets."""
RUNS = "runs"
"""Name of the queue of runs that wait to be started."""


def newest_runs() -> Select[tuple[str, datetime, datetime | None]]:
    """Return the query of job_name, ended_at and succeeded_at, when each job last ended and last succeeded.

    It looks up each job in the index: a maximum per group would read all runs that there ever were.
    """
    runs = job_runs.c
    jobs = distinct_values(runs.job_name)

    def last(*conditions: ColumnElement[bool]) -> ColumnElement[datetime]:
        mine = select(runs.ended_at).where(runs.job_name == jobs.c.name, *conditions)
        return mine.order_by(runs.ended_at.desc()).limit(1).scalar_subquery()

    columns = (
        jobs.c.name.label("job_name"),
        last().label("ended_at"),
        last(runs.succeeded).label("succeeded_at"),
    )
    return select(*columns).where(jobs.c.name.is_not(None)).order_by(jobs.c.name)


def record_job_run(
    engine: Engine, run_id: str, job_name: str, *, succeeded: bool, ended_at: datetime
) -> None:
    """Store a run that ended. A run that is stored again is stored once.

    Args:
        engine: The metadata database.
        run_id: The run's id in the orchestrator.
        job_name: The job's name.
        succeeded: False where it failed or was canceled.
        ended_at: When it ended.
    """
    row = {"run_id": run_id, "job_name": job_name, "succeeded": succeeded, "ended_at": ended_at}
    with engine.begin() as connection:
        connection.execute(delete(job_runs).where(job_runs.c.run_id == run_id))
        connection.execute(insert(job_runs).values(row))


def record_queue_length(engine: Engine, queue: str, length: int, observed_at: datetime) -> None:
    """Store how many wait in a queue, in place of what was stored before.

    Args:
        engine: The metadata database.
        queue: The queue's name.
        length: How many wait.
        observed_at: When that was so.
    """
    row = {"queue": queue, "length": length, "observed_at": observed_at}
    with engine.begin() as connection:
        connection.execute(delete(queue_lengths).where(queue_lengths.c.queue == queue))
        connection.execute(insert(queue_lengths).values(row))
