"""Why a run failed, as text for people, without Dagster's wrapping."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, RETRY_NUMBER_TAG, WILL_RETRY_TAG

from tastemaker.util.os_errors import in_words
from tastemaker.watch.failed_runs import FailedRun

GATE, SOUND = "gate", "batch_is_sound"
"""The step that validates data, and the check that says whether a batch was accepted."""
EVENTS = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}
ATTENDED_TAG = "tastemaker/attended"
"""Tag of a run that a person waits for."""
JOB_TAG = "tastemaker/job"
"""Tag with the name of a job whose assets a run makes without being one of its runs."""
UNDECIDED = timedelta(seconds=10)
"""How long after a failure Dagster may not have written yet whether it starts the run again."""
GIVEN_UP = timedelta(minutes=5)
"""How long after a failure a run counts as given up that Dagster wrote it would start again."""
UNNAMED = "__"
"""What the names of jobs begin with that Dagster makes for a selection of assets."""


class StepFailure(NamedTuple):
    """A step that failed, or that had not ended when the run's process ended."""

    asset: str
    reason: str


def failure_reason(failure: Any) -> str:
    """Return why a step failed: its description, else the innermost error."""
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    text = "" if error is None else str(error.message).strip()
    return str(in_words(RuntimeError(text)) or text)


def step_failures(instance: dg.DagsterInstance, run_id: str) -> list[StepFailure]:
    """Return the steps that failed; where none did, those that had started and did not end.

    Args:
        instance: The instance that keeps the run.
        run_id: The id of Dagster's run that failed.
    """
    failed, running, ending = [], {}, ""
    for entry in instance.all_logs(run_id, of_type=EVENTS):
        event = entry.get_dagster_event()
        if event.event_type == dg.DagsterEventType.RUN_FAILURE:
            ending = event.message or ""
            continue
        name = str(event.step_key).replace("__", "/")
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            failed.append(StepFailure(name, failure_reason(event.step_failure_data)))
        running[name] = event.event_type == dg.DagsterEventType.STEP_START
    interrupted = [StepFailure(name, ending) for name, is_running in running.items() if is_running]
    return failed or interrupted or [StepFailure("", ending)]


def described(instance: dg.DagsterInstance, record: dg.RunRecord) -> FailedRun | None:
    """Return what people are sent about a failed run; None if an alert says already that data was refused.

    Args:
        instance: The instance that keeps the run.
        record: Dagster's record of the run that failed.
    """
    run = record.dagster_run
    first, *others = step_failures(instance, run.run_id)
    if not others and first.asset == GATE and _was_refused(instance, run.run_id):
        return None
    more = f" (and {len(others)} more: {', '.join(one.asset for one in others)})" if others else ""
    return FailedRun(
        run.run_id,
        run.tags.get(JOB_TAG, "") if run.job_name.startswith(UNNAMED) else run.job_name,
        first.asset,
        first.reason + more,
        datetime.fromtimestamp(
            record.end_time or record.update_timestamp.replace(tzinfo=UTC).timestamp(), UTC
        ),
        starts=1 + int(run.tags.get(RETRY_NUMBER_TAG, "0")),
    )


def _was_refused(instance: dg.DagsterInstance, run_id: str) -> bool:
    checks = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluations = [entry.get_dagster_event().asset_check_evaluation_data for entry in checks]
    return any(one.check_name == SOUND and not one.passed for one in evaluations)


def is_to_be_reported(record: dg.RunRecord, now: datetime) -> bool:
    """Return whether people must be sent that a run failed.

    A run that Dagster starts again is not: its last retry is, if that fails, too. Where Dagster can't do as
    it wrote, such as after its job was renamed, the run is reported late. A run that a person started by a
    command that waits for it is not.

    Args:
        record: Dagster's record of the run, which may have ended otherwise.
        now: The time; what becomes of a run is known shortly after it failed.
    """
    run = record.dagster_run
    if run.status != dg.DagsterRunStatus.FAILURE or run.tags.get(ATTENDED_TAG) == "true":
        return False
    if (will_retry := run.tags.get(WILL_RETRY_TAG)) == "true":
        return AUTO_RETRY_RUN_ID_TAG not in run.tags and now - ended_at(record) > GIVEN_UP
    return will_retry == "false" or now - updated_at(record) > UNDECIDED


def updated_at(record: dg.RunRecord) -> datetime:
    """Return when something of the run changed last."""
    return record.update_timestamp.replace(tzinfo=UTC)


def ended_at(record: dg.RunRecord) -> datetime:
    """Return when a run ended."""
    return updated_at(record) if record.end_time is None else datetime.fromtimestamp(record.end_time, UTC)
