"""A sensor that stores how runs ended, and how many wait, where the platform's watcher reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from tastemaker_pipelines.resources import WorkspaceResource
from tastemaker_pipelines.run_processes import end_lost_runs

FIRST_DAYS = 7
"""How far back the sensor looks when it runs for the first time."""
OVERLAP = timedelta(minutes=1)
"""How far each evaluation looks back behind the cursor: a run that is stored twice is stored once."""
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Stores the runs of jobs that ended, and the number of queued runs, for alerts.",
)
def ended_runs(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SkipReason:
    """Store what happened since the last evaluation; the cursor is the time of the newest ended run.

    Runs of assets that a person selects are not runs of a job, and are left out.
    """
    from tastemaker.monitoring.job_runs import RUNS, record_job_run, record_queue_length

    engine, instance = workspace.open().engine, context.instance
    end_lost_runs(workspace.open().settings, instance)
    now = datetime.now(UTC)
    since = datetime.fromisoformat(context.cursor) if context.cursor else now - timedelta(days=FIRST_DAYS)
    ended = instance.get_run_records(dg.RunsFilter(statuses=ENDED, updated_after=since - OVERLAP))
    stored = 0
    for record in ended:
        since = max(since, record.update_timestamp.replace(tzinfo=UTC))
        run = record.dagster_run
        if run.job_name.startswith("__") or record.end_time is None:
            continue
        record_job_run(
            engine,
            run.run_id,
            run.job_name,
            succeeded=run.status == dg.DagsterRunStatus.SUCCESS,
            ended_at=datetime.fromtimestamp(record.end_time, UTC),
        )
        stored += 1
    waiting = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    record_queue_length(engine, RUNS, waiting, now)
    context.update_cursor(since.isoformat())
    return dg.SkipReason(f"{stored} ended runs stored, {waiting} runs wait")
