"""Run the asset graph in one process, for `tastemaker run` and the demo."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG

from tastemaker.errors import TastemakerError
from tastemaker.monitoring.job_runs import ALL_ASSETS, record_job_run
from tastemaker.settings import Settings
from tastemaker.trainings.records import REQUESTED, Reason
from tastemaker.util.interrupts import restore_interrupts
from tastemaker.watch.failed_runs import report_failed_runs
from tastemaker.workflows.training.child_process import warm_up
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.definitions import EVERYTHING, build_defs
from tastemaker_pipelines.failures import ATTENDED_TAG, JOB_TAG, described, failure_reason
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.pool_waits import PoolWaits
from tastemaker_pipelines.resources import LazyWorkspace
from tastemaker_pipelines.run_processes import end_lost_runs
from tastemaker_pipelines.training.runs import reason_tags


@dataclass
class Step:
    """The current state of one step of a run."""

    name: str
    state: str = "waiting"
    """waiting, running, done, failed or skipped"""
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    """The metadata of the step's materializations."""
    problem: str = ""
    """Why it failed, as text for the user."""


@dataclass
class Outcome:
    """A finished run."""

    run_id: str
    success: bool
    steps: dict[str, Step]
    trained: tuple[str, ...] | None = None
    """Models with a new version; None if no version was to be trained."""


Listener = Callable[[Step], None]

MODELS = "models"
"""Prefix of the keys of assets that are versions."""


def run(
    settings: Settings,
    *,
    select: str | None = None,
    config: Mapping[str, Any] | None = None,
    reason: str = "tastemaker run",
    on_change: Listener = lambda step: None,
    on_wait: Callable[[str], None] = lambda said: None,
) -> Outcome:
    """Materialize assets, upstream first, and record the run in Dagster's instance of the home folder.

    A run of all assets counts as a run of the job `everything`, which alerts watch.

    Work that is up to date is not repeated: days whose digest did not change are not read again, and a
    backtest or version that exists is not fitted again. A run after a failed one continues where it stopped.

    Args:
        settings: The home folder and all that the assets read.
        select: Assets in Dagster's selection syntax; EVERYTHING if None.
        config: Dagster run config, such as the days to ingest.
        reason: Why models are trained, in words: it is recorded with each training.
        on_change: Called with each step when it is planned, starts and ends.
        on_wait: Called while other runs hold the places that the run needs, seldom, with what it waits for.

    Returns:
        The outcome: success only if no step and no model failed.

    Raises:
        TastemakerError: If `select` is not valid or selects nothing, or the settings are wrong.
    """
    restore_interrupts()  # before a child is started; opening the instance would do it for this process alone
    warm_up()
    workspace = LazyWorkspace(settings)
    defs = build_defs(workspace=workspace)
    job = defs.resolve_implicit_global_asset_job_def()
    graph = job.asset_layer.asset_graph
    keys = sorted(EVERYTHING.resolve(graph)) if select is None else _selected(graph, select)
    steps: dict[str, Step] = {}
    has_models = any(key.path[0] == MODELS for key in keys)
    known = {version.id for version in workspace.open().registry.list()} if has_models else set()
    run_id = str(uuid.uuid4())
    with open_instance(settings) as instance:
        end_lost_runs(settings, instance)
        instance.add_event_listener(run_id, lambda entry: _note(entry, steps, on_change))
        instance.add_event_listener(run_id, PoolWaits(instance, run_id, on_wait).note)
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            asset_selection=keys,
            tags={
                MAX_RETRIES_TAG: "0",
                **({JOB_TAG: ALL_ASSETS} if select is None else {ATTENDED_TAG: "true"}),
                **reason_tags([Reason(REQUESTED, reason)]),
            },
            run_config={**(config or {}), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        if select is None:
            _record(workspace.open(), instance, run_id)
    trained = _trained(steps, known) if has_models else None
    return Outcome(run_id, result.success and not _failed(steps), steps, trained)


def _trained(steps: Mapping[str, Step], known: Collection[str]) -> tuple[str, ...]:
    """Return the models of which a step has made a version that is not among the known ones."""
    of_models = [step for step in steps.values() if step.name.startswith(f"{MODELS}/")]
    made = {step.name.removeprefix(f"{MODELS}/"): step.facts.get("version") for step in of_models}
    return tuple(sorted(model for model, version in made.items() if version and version not in known))


def _record(opened: Workspace, instance: dg.DagsterInstance, run_id: str) -> None:
    """Store how the run of all assets ended, and report it if it failed."""
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    succeeded = record.dagster_run.is_success
    record_job_run(opened.engine, run_id, ALL_ASSETS, succeeded=succeeded, ended_at=datetime.now(UTC))
    if record.dagster_run.status == dg.DagsterRunStatus.FAILURE:
        report_failed_runs(
            opened.engine, opened.settings.watch, [run_id], lambda _: described(instance, record)
        )


def _failed(steps: Mapping[str, Step]) -> list[Step]:
    """Return the failed steps: a model that fails does not fail its Dagster step, only its check."""
    return [step for step in steps.values() if step.state == "failed"]


def _selected(graph: Any, select: str) -> Sequence[dg.AssetKey]:
    try:
        keys = dg.AssetSelection.from_string(select).required_multi_asset_neighbors().resolve(graph)
    except Exception as error:
        raise TastemakerError(f"--select {select!r}: {error}", fix="see tastemaker run --help") from error
    if not keys:
        known = ", ".join(sorted(key.to_user_string() for key in graph.get_all_asset_keys()))
        raise TastemakerError(f"--select {select!r} selects no asset", fix=f"the assets are: {known}")
    return sorted(keys)


def _note(entry: dg.EventLogEntry, steps: dict[str, Step], on_change: Listener) -> None:
    event = entry.dagster_event
    if event is None or event.step_key is None:
        return
    planned = event.step_key not in steps
    step = steps.setdefault(event.step_key, Step(event.step_key.replace("__", "/")))
    if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
        made = event.step_materialization_data.materialization
        asset = made.asset_key.to_user_string()
        for name, value in made.metadata.items():
            step.facts[name if asset == step.name else f"{asset} {name}"] = value.value
    elif planned or _advance(step, event):
        on_change(step)


def _advance(step: Step, event: dg.DagsterEvent) -> bool:
    kind = dg.DagsterEventType
    if event.event_type == kind.STEP_START:
        step.state = "running"
    elif event.event_type == kind.ASSET_CHECK_EVALUATION:
        _check(step, event.asset_check_evaluation_data)
        return False
    elif event.event_type == kind.STEP_SUCCESS:
        step.state = "failed" if step.state == "failed" else "done"
        step.seconds = event.step_success_data.duration_ms / 1000
    elif event.event_type == kind.STEP_FAILURE:
        step.state = "failed"
        step.problem = failure_reason(event.step_failure_data)
    elif event.event_type == kind.STEP_SKIPPED:
        step.state = "skipped"
    else:
        return False
    return True


def _check(step: Step, evaluation: dg.AssetCheckEvaluation) -> None:
    if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
        step.state, step.problem = "failed", evaluation.description or evaluation.check_name
