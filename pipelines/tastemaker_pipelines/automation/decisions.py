"""Dagster's newest decision on each model, in the metadata database: pages without Dagster show it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.declarative_automation.serialized_objects import AutomationConditionEvaluation

from tastemaker.storage.tables import retraining_decisions
from tastemaker.storage.upserts import upsert
from tastemaker.trainings.decisions import TRAINS, UP_TO_DATE, WAITS
from tastemaker_pipelines.automation.conditions import (
    BACKTESTS,
    DETAIL,
    HOLDS,
    INPUTS_READY,
    INPUTS_SOUND,
    MIN_GAP,
    NEXT_AT,
    NOT_RUNNING,
    REASONS,
    STALE,
    is_met,
)
from tastemaker_pipelines.resources import WorkspaceResource

TRAININGS = "trainings"
"""Name of the sensor that evaluates the conditions of models."""
_SHOWN = REASONS + HOLDS
_BUILT_IN = {
    NOT_RUNNING: ("no run trains it", "a run trains it"),
    INPUTS_READY: ("its inputs are there", "an input is missing, or a run is making it"),
    INPUTS_SOUND: ("its inputs passed their checks", "an input did not pass a check"),
}
"""Details of Dagster's own conditions, which have none: if they are met, and if not."""


def decisions_sensor(poll_seconds: int) -> dg.SensorDefinition:
    """Return the sensor that stores the decisions.

    Args:
        poll_seconds: The time between two looks.
    """

    @dg.sensor(
        name="recorded_decisions",
        minimum_interval_seconds=poll_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Stores why each model is trained or is not, as Dagster evaluated it last.",
    )
    def recorded_decisions(
        context: dg.SensorEvaluationContext, workspace: WorkspaceResource
    ) -> dg.SkipReason:
        opened = workspace.open()
        rows = [
            {"problem": opened.problem.name, "model": name, **decision(found)}
            for name in opened.plugins().names
            if (found := newest_evaluation(context.instance, name)) is not None
        ]
        with opened.engine.begin() as connection:
            upsert(connection, retraining_decisions, rows)
        return dg.SkipReason(f"{len(rows)} decisions stored")

    return recorded_decisions


def newest_evaluation(
    instance: dg.DagsterInstance, model: str
) -> AutomationConditionEvaluation[dg.AssetKey] | None:
    """Return the newest evaluation of a model's training that Dagster stored; None if there is none.

    Dagster stores an evaluation when its result is another than that of the one before.

    Args:
        instance: The instance whose daemon evaluates the conditions.
        model: The model's name.
    """
    storage = instance.schedule_storage
    if storage is None or not storage.supports_auto_materialize_asset_evaluations:
        return None
    key = dg.AssetKey([BACKTESTS, model])
    records = storage.get_auto_materialize_asset_evaluations(key, limit=1)
    return records[0].get_evaluation_with_run_ids().evaluation if records else None


def decision(evaluation: AutomationConditionEvaluation[dg.AssetKey]) -> dict[str, Any]:
    """Return an evaluation as a row of `retraining_decisions`, without problem and model."""
    nodes = dict(_conditions(evaluation))
    has_reason = any(is_met(nodes[name]) for name in REASONS if name in nodes)
    trains = not evaluation.true_subset.is_empty
    due = {name: _next_at(node) for name, node in nodes.items()}
    return {
        "decision": TRAINS if trains else WAITS if has_reason else UP_TO_DATE,
        "conditions": [
            {"name": name, "is_met": is_met(nodes[name]), "detail": _detail(nodes[name])}
            for name in _SHOWN
            if name in nodes
        ],
        "evaluated_at": datetime.fromtimestamp(evaluation.end_timestamp or 0, UTC),
        "next_at": due.get(MIN_GAP) if has_reason and not trains else due.get(STALE),
    }


def _conditions(
    evaluation: AutomationConditionEvaluation[Any],
) -> Iterator[tuple[str, AutomationConditionEvaluation[Any]]]:
    """Yield name and evaluation of the conditions that were computed: a hold after an unmet one is not."""
    for node in evaluation.iter_nodes():
        name = node.condition_snapshot.label or node.condition_snapshot.name or ""
        is_computed = bool(node.metadata) or bool(getattr(node.candidate_subset, "value", True))
        if name in _SHOWN and is_computed:
            yield name, node


def _detail(node: AutomationConditionEvaluation[Any]) -> str:
    facts = node.metadata or {}
    if DETAIL in facts:
        return str(facts[DETAIL].value)
    met, unmet = _BUILT_IN[node.condition_snapshot.label or ""]
    return met if is_met(node) else unmet


def _next_at(node: AutomationConditionEvaluation[Any]) -> datetime | None:
    at = (node.metadata or {}).get(NEXT_AT)
    return None if at is None else datetime.fromtimestamp(float(at.value), UTC)  # type: ignore[arg-type]
