"""The sensors of the automation: new days at the source, trainings, and reports that follow them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.declarative_automation.serialized_objects import AutomationConditionEvaluation
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster_shared.record import replace

from tastemaker.plugins.discovery import Plugin
from tastemaker_pipelines.automation.conditions import (
    BACKTESTS,
    DETAIL,
    IS_MET,
    MODELS,
    REASONS,
    following_condition,
    training_condition,
)
from tastemaker_pipelines.automation.decisions import TRAININGS, decisions_sensor
from tastemaker_pipelines.automation.freshness import freshness_policies
from tastemaker_pipelines.automation.new_days import new_days_sensor
from tastemaker_pipelines.data_versions import with_code_version
from tastemaker_pipelines.evaluation.ablations import ABLATIONS
from tastemaker_pipelines.resources import LazyWorkspace
from tastemaker_pipelines.training import runs

TRAINED = dg.AssetSelection.groups("evaluation", "training", "promotion") - dg.AssetSelection.key_prefixes(
    ABLATIONS
)
COMPARISONS = ("leaderboard", "champion")
REPORTS = ("drift_report", "ranking_report")


class TrainingSensor(dg.AutomationConditionSensorDefinition):
    """Requests runs of assets whose conditions are met, and tags those that train with the reasons."""

    def __init__(self, name: str, workspace: LazyWorkspace, **arguments: Any) -> None:
        """Create the sensor.

        Args:
            name: Its name on Dagster's page.
            workspace: What the conditions read, by the settings as they are at an evaluation.
            arguments: Those of Dagster's own sensor of conditions, such as its interval.
        """
        with warnings.catch_warnings():  # our conditions are code, and Dagster's way to evaluate such is new
            warnings.simplefilter("ignore", dg.BetaWarning)
            super().__init__(name, use_user_code_server=True, **arguments)
        self._workspace = workspace

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> SensorExecutionData:
        """Evaluate the conditions."""
        self._workspace.reload()
        tick = super().evaluate_tick(context)
        reasons = [one for found in tick.automation_condition_evaluations for one in met_reasons(found)]
        requests = [_tagged(request, reasons) for request in tick.run_requests or ()]
        return replace(tick, run_requests=requests or None)


def met_reasons(evaluation: AutomationConditionEvaluation[Any]) -> Iterator[dict[str, str]]:
    """Yield the reasons for which an evaluation requested a training, as {model, reason, detail}."""
    if evaluation.true_subset.is_empty:
        return
    for node in evaluation.iter_nodes():
        name, facts = node.condition_snapshot.name, node.metadata or {}
        if name in REASONS and facts[IS_MET].value:
            yield {"model": evaluation.key.path[-1], "reason": name, "detail": str(facts[DETAIL].value)}


def _tagged(request: dg.RunRequest, reasons: Sequence[dict[str, str]]) -> dg.RunRequest:
    models = {key.path[-1] for key in request.asset_selection or () if key.path[0] == BACKTESTS}
    found = [one for one in reasons if one["model"] in models]
    if not found:
        return request
    return request.with_replaced_attrs(tags={**request.tags, runs.REASONS: json.dumps(found)})


def automation_sensors(workspace: LazyWorkspace) -> list[dg.SensorDefinition]:
    """Return the sensors that train models by themselves; none if `automation.enabled` is off."""
    settings = workspace.open().settings.automation
    if not settings.enabled:
        return []
    trainings, reports = (
        TrainingSensor(
            name,
            workspace,
            target=target,
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=settings.poll_seconds,
            description=description,
        )
        for name, target, description in (
            (TRAININGS, TRAINED, "Trains models that have a reason, compares them and chooses the champion."),
            (
                "reports",
                dg.AssetSelection.assets(*REPORTS),
                "Writes the reports on drift and on the champion again after a change.",
            ),
        )
    )
    return [
        new_days_sensor(settings.poll_seconds),
        trainings,
        reports,
        decisions_sensor(settings.poll_seconds),
    ]


def automated(plugins: Iterable[Plugin], workspace: LazyWorkspace) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    """Return the function that gives an asset its code version, and the condition under which it is made.

    Args:
        plugins: The models that can be trained.
        workspace: What the conditions read.
    """
    trained = {(BACKTESTS, plugin.name): plugin for plugin in plugins}
    if not workspace.open().settings.automation.enabled:
        return with_code_version
    policies = freshness_policies(workspace.open(), [name for _, name in trained])

    def with_condition(spec: dg.AssetSpec) -> dg.AssetSpec:
        spec, path = with_code_version(spec), tuple(spec.key.path)
        if path in trained:
            return spec.replace_attributes(automation_condition=training_condition(trained[path], workspace))
        if path[0] == MODELS:
            spec = spec.replace_attributes(freshness_policy=policies.get(path[1]))
        if path[0] in (MODELS, *REPORTS, *COMPARISONS):
            condition = following_condition(needs_all=path[0] not in COMPARISONS)
            return spec.replace_attributes(automation_condition=condition)
        return spec

    return with_condition
