"""How new data, features and the champion are, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select

from tastemaker.dashboard.content import Figure
from tastemaker.dashboard.formats import day as written_day
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.monitoring.job_runs import newest_runs
from tastemaker.monitoring.model_facts import stale_after
from tastemaker.storage.distinct_values import any_value, distinct_values, newest_ids
from tastemaker.storage.tables import (
    feature_cutoffs,
    ingested_days,
    job_runs,
    promotions,
    versions,
)

DAY_SECONDS = 86_400.0
JOB_DAYS = 28
"""Days over which the runs of jobs are counted."""


class JobState(NamedTuple):
    """Runs of a job."""

    name: str
    ended_at: datetime
    """When its last run ended."""
    succeeded_at: datetime | None
    """When it last succeeded; None: never."""
    runs: int
    """In the last JOB_DAYS days."""
    failed: int

    @property
    def has_failed(self) -> bool:
        """Whether the last run failed."""
        return self.succeeded_at is None or self.succeeded_at < self.ended_at


class Freshness(NamedTuple):
    """Ages, and what is wrong in words."""

    figures: list[Figure]
    problems: list[str]


def jobs(reader: DashboardReader) -> list[JobState]:
    """Return the runs of each job."""
    c = job_runs.c
    lately = select(c.job_name, c.succeeded, func.count().label("n")).group_by(c.job_name, c.succeeded)
    lately = lately.where(any_value(c.job_name), c.ended_at > reader.now - timedelta(days=JOB_DAYS))
    counts = {(row.job_name, row.succeeded): row.n for row in reader.rows(lately)}
    found = []
    for name, ended_at, succeeded_at in reader.rows(newest_runs()):
        good, bad = (counts.get((name, result), 0) for result in (True, False))
        found.append(JobState(name, ended_at, succeeded_at, good + bad, bad))
    return found


def freshness(reader: DashboardReader, gate: Sequence[Row[Any]], states: Sequence[JobState]) -> Freshness:
    """Return the ages of data, features and the champion, and what is wrong, the worst first.

    Args:
        reader: Reads the database.
        gate: The newest gate result of each source.
        states: The runs of each job.
    """
    found = [*_sources(reader), *_features(reader), *_champions(reader)]
    refused = [
        f"The newest batch of {row.source} was refused: {row.reason.rstrip('.')}."
        for row in gate
        if not row.passed
    ]
    problems = [*refused, *(problem for _, problem in found if problem), *_job_problems(reader, states)]
    return Freshness([figure for figure, _ in found], problems)


def _sources(reader: DashboardReader) -> Iterator[tuple[Figure, str]]:
    c, limit = ingested_days.c, reader.settings.alerts.data_stale.above_seconds
    sources = distinct_values(c.source)
    day, at = (
        select(func.max(column, type_=column.type)).where(c.source == sources.c.name).scalar_subquery()
        for column in (c.day, c.ingested_at)
    )
    newest = select(sources.c.name.label("source"), day.label("day"), at.label("at"))
    for row in reader.rows(newest.where(sources.c.name.is_not(None)).order_by(sources.c.name)):
        age = (reader.now - _end_of(row.day)).total_seconds()
        problem = f"The newest rows of {row.source} are of {written_day(row.day)}." if age > limit else ""
        yield (
            Figure(
                "", f"Age of the data of {row.source}", max(age, 0.0) / DAY_SECONDS, "days",
                f"newest day {written_day(row.day)}", as_of=row.at,
                comparison=f"an alert opens after {limit / DAY_SECONDS:.3g} days",
            ),
            problem,
        )  # fmt: skip


def _features(reader: DashboardReader) -> Iterator[tuple[Figure, str]]:
    c = feature_cutoffs.c
    for row in reader.rows(select(c.cutoff, c.made_at).order_by(c.id.desc()).limit(1)):
        age = (reader.now - row.cutoff).total_seconds() / DAY_SECONDS
        window = f"events until {row.cutoff:%Y-%m-%d %H:%M} UTC"
        yield Figure("", "Age of the newest features", age, "days", window, as_of=row.made_at), ""


def _champions(reader: DashboardReader) -> Iterator[tuple[Figure, str]]:
    newest = newest_ids(promotions.c.id, promotions.c.problem)
    statement = (
        select(promotions.c.problem, versions.c.model, versions.c.id, versions.c.manifest, promotions.c.at)
        .join(versions, versions.c.id == promotions.c.version_id)
        .where(promotions.c.id.in_(newest))
        .order_by(promotions.c.problem)
    )
    for row in reader.rows(statement):
        end = datetime.fromtimestamp(row.manifest["window"]["end"], UTC)
        age = (reader.now - end).total_seconds()
        loss = reader.settings.alerts.model_stale.loss
        limit = stale_after(reader.engine, row.problem, row.model, loss)
        comparison, problem = "what its age costs was not measured", ""
        if limit is not None:
            comparison = f"by its measured loss it is stale after {limit / DAY_SECONDS:.3g} days"
            if age > limit:
                problem = f"The champion {row.model} {row.id} is stale: it knows events until {end:%Y-%m-%d}."
        yield (
            Figure(
                "", f"Age of the champion's data: {row.model}", age / DAY_SECONDS, "days",
                f"events until {end:%Y-%m-%d %H:%M} UTC; champion since {row.at:%Y-%m-%d}",
                comparison=comparison, as_of=reader.now,
            ),
            problem,
        )  # fmt: skip


def _job_problems(reader: DashboardReader, states: Sequence[JobState]) -> Iterator[str]:
    late = reader.settings.alerts.job_late
    for one in states:
        if one.has_failed:
            yield f"The last run of the job {one.name} failed at {one.ended_at:%Y-%m-%d %H:%M} UTC."
        elif one.name in late.jobs and (reader.now - one.ended_at).total_seconds() > late.above_seconds:
            yield f"The job {one.name} has not run since {one.ended_at:%Y-%m-%d %H:%M} UTC."


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(days=1)
