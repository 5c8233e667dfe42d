"""A sensor that stores how runs ended, and how many wait, where the platform's watcher reads it.

It also reports failed runs: Dagster's own sensors of failed runs see five runs per evaluation, this one all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import WILL_RETRY_TAG

from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.failures import UNNAMED, described, ended_at, is_to_be_reported, updated_at
from tastemaker_pipelines.resources import WorkspaceResource
from tastemaker_pipelines.run_processes import end_lost_runs

FIRST_DAYS = 7
"""How far back the sensor looks when it runs for the first time."""
FIRST_REPORTED = timedelta(hours=1)
"""How long ago a run failed that is reported then."""
OVERLAP = timedelta(minutes=1)
"""How far each evaluation looks back behind the cursor: a run that is stored twice is stored once."""
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Stores the runs of jobs that ended and the number of queued runs; reports failed runs.",
)
def ended_runs(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SkipReason:
    """Store what happened since the last evaluation; the cursor is the time of the newest ended run.

    Runs of assets that a person selects are not runs of a job, and are not stored.
    """
    from tastemaker.monitoring.job_runs import RUNS, record_queue_length
    from tastemaker.watch.failed_runs import close_failed_runs

    opened, instance = workspace.open(), context.instance
    end_lost_runs(opened.settings, instance)
    now = datetime.now(UTC)
    since = datetime.fromisoformat(context.cursor) if context.cursor else now - timedelta(days=FIRST_DAYS)
    ended = instance.get_run_records(dg.RunsFilter(statuses=ENDED, updated_after=since - OVERLAP))
    stored = _store(opened, ended)
    reported_from = datetime.min.replace(tzinfo=UTC) if context.cursor else now - FIRST_REPORTED
    failed = [*ended, *_to_be_retried(instance, now)]
    reported = _report(opened, instance, [one for one in failed if ended_at(one) >= reported_from], now)
    close_failed_runs(opened.engine, opened.settings.watch, now)
    waiting = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    record_queue_length(opened.engine, RUNS, waiting, now)
    context.update_cursor(max([since, *map(updated_at, ended)]).isoformat())
    return dg.SkipReason(f"{stored} ended runs stored, {reported} failures reported, {waiting} runs wait")


def _to_be_retried(instance: dg.DagsterInstance, now: datetime) -> Sequence[dg.RunRecord]:
    """Return the failed runs of the last hour that Dagster wrote it would start again."""
    to_be_retried = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={WILL_RETRY_TAG: "true"},
        updated_after=now - FIRST_REPORTED,
    )
    return instance.get_run_records(to_be_retried)


def _store(opened: Workspace, ended: Sequence[dg.RunRecord]) -> int:
    """Store the runs of jobs, and return their number."""
    from tastemaker.monitoring.job_runs import record_job_run

    stored = 0
    for record in ended:
        run = record.dagster_run
        if run.job_name.startswith(UNNAMED) or record.end_time is None:
            continue
        succeeded = run.status == dg.DagsterRunStatus.SUCCESS
        record_job_run(
            opened.engine, run.run_id, run.job_name, succeeded=succeeded, ended_at=ended_at(record)
        )
        stored += 1
    return stored


def _report(
    opened: Workspace, instance: dg.DagsterInstance, ended: Sequence[dg.RunRecord], now: datetime
) -> int:
    """Report the runs that failed, and return how many of them were not reported before."""
    from tastemaker.watch.failed_runs import report_failed_runs

    failed = {one.dagster_run.run_id: one for one in ended if is_to_be_reported(one, now)}
    return report_failed_runs(
        opened.engine, opened.settings.watch, [*failed], lambda run_id: described(instance, failed[run_id])
    )
