"""A sensor that starts a run for each request for a training, and records what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from tastemaker.monitoring.job_runs import record_queue_length
from tastemaker.trainings.records import FAILED as TRAINING_FAILED
from tastemaker.trainings.records import REQUESTED, Reason, TrainingRecords
from tastemaker.trainings.requests import (
    DONE,
    FAILED,
    QUEUE,
    RUNNING,
    WAITING,
    TrainingRequest,
    TrainingRequests,
)
from tastemaker_pipelines.resources import WorkspaceResource
from tastemaker_pipelines.training.runs import reason_tags

REQUEST_TAG = "tastemaker/training_request"
"""The run's tag: the id of the request that it is for."""
_COMPARED = dg.AssetSelection.assets("leaderboard", "champion")


def training_requests_sensor() -> dg.SensorDefinition:
    """Return the sensor."""

    @dg.sensor(
        name="training_requests",
        target=dg.AssetSelection.key_prefixes("backtests", "models") | _COMPARED,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a run for each request for a training, and records how it ended.",
    )
    def training_requests(
        context: dg.SensorEvaluationContext, workspace: WorkspaceResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        opened = workspace.open()
        opened.training_records.flag_killed()
        requests, enabled = opened.training_requests, opened.plugins().names
        waiting = 0
        for request in requests.open():
            run = _run_of(context.instance, request)
            if run is not None:
                _follow(requests, opened.training_records, request, run)
            elif unknown := sorted(set(request.models) - set(enabled)):
                text = f"{', '.join(unknown)} is not an enabled model any more"
                requests.set_state(request.id, FAILED, problem_text=text)
            elif request.state == WAITING:
                waiting += 1
                yield _run_request(request, request.models or enabled)
            else:
                requests.set_state(
                    request.id, FAILED, run_id=request.run_id, problem_text="its run was deleted"
                )
        record_queue_length(opened.engine, QUEUE, waiting, datetime.now(UTC))
        if not waiting:
            yield dg.SkipReason("no request waits")

    return training_requests


def _run_of(instance: dg.DagsterInstance, request: TrainingRequest) -> dg.DagsterRun | None:
    """Return the run that was started for a request; None if there is none yet."""
    runs = instance.get_runs(dg.RunsFilter(tags={REQUEST_TAG: request.id}), limit=1)
    return runs[0] if runs else None


def _run_request(request: TrainingRequest, models: tuple[str, ...]) -> dg.RunRequest:
    keys = [dg.AssetKey([stage, model]) for model in models for stage in ("backtests", "models")]
    reason = Reason(REQUESTED, f"{request.reason} ({request.actor})")
    return dg.RunRequest(
        run_key=request.id,
        asset_selection=[*keys, dg.AssetKey("leaderboard"), dg.AssetKey("champion")],
        tags={REQUEST_TAG: request.id, **reason_tags([reason])},
    )


def _follow(
    requests: TrainingRequests, records: TrainingRecords, request: TrainingRequest, run: dg.DagsterRun
) -> None:
    """Record the state of a request's run; a model that failed fails its request, not its run."""
    if not run.is_finished:
        requests.set_state(request.id, RUNNING, run_id=run.run_id)
        return
    failed = [one for one in records.of_run(run.run_id) if one.outcome == TRAINING_FAILED]
    if run.is_success and not failed:
        requests.set_state(request.id, DONE, run_id=run.run_id)
        return
    text = (
        "\n".join(one.problem_text or one.model for one in failed) or f"its run ended as {run.status.value}"
    )
    requests.set_state(request.id, FAILED, run_id=run.run_id, problem_text=text)
