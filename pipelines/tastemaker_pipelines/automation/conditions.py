"""Conditions under which Dagster trains a model again, and makes again what follows from it.

    a reason     first, new_data, changed_code, changed_config, stale or drift
    and no hold  min_gap, no_failure, not_running, inputs_ready, inputs_sound

The reasons are computed from records at each evaluation, and hold until a training answers them. They do
not compare one evaluation with the one before, as Dagster's own `data_version_changed` and `newly_updated`
do: what happens while the daemon is away, or between two evaluations, is not missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import dagster as dg

from tastemaker.plugins.discovery import Plugin
from tastemaker_pipelines.automation.freshness import freshness_window
from tastemaker_pipelines.automation.records import CODE_VERSION, AssetRecords
from tastemaker_pipelines.data_versions import CONFIG_TAG, config_version, model_code_version
from tastemaker_pipelines.monitoring.drift_check import DRIFT_CHECK, DRIFT_REPORT, MODEL, SINCE
from tastemaker_pipelines.resources import LazyWorkspace

Rule = dg.AutomationCondition[Any]

BACKTESTS, MODELS = "backtests", "models"
"""Prefixes of the keys of a model's assets."""
FIRST, NEW_DATA, CHANGED_CODE, CHANGED_CONFIG = "first", "new_data", "changed_code", "changed_config"
STALE, DRIFT = "stale", "drift"
REASONS = (FIRST, NEW_DATA, CHANGED_CODE, CHANGED_CONFIG, STALE, DRIFT)
"""Names of the conditions that are reasons to train a model."""
MIN_GAP, NO_FAILURE, NOT_RUNNING = "min_gap", "no_failure", "not_running"
INPUTS_READY, INPUTS_SOUND = "inputs_ready", "inputs_sound"
HOLDS = (MIN_GAP, NO_FAILURE, NOT_RUNNING, INPUTS_READY, INPUTS_SOUND)
"""Names of the conditions that must hold, too."""
AFTER_FAILURE = timedelta(hours=1)
"""What a run failed to make is made again after this time at the earliest, since most failures last."""

IS_MET, DETAIL, NEXT_AT = "is_met", "detail", "next_at"
"""Keys of a condition's metadata in Dagster's evaluations."""


class ConditionResult(NamedTuple):
    """Whether a condition is met, and why."""

    is_met: bool
    detail: str
    next_at: datetime | None = None
    """When it will be met at the latest; None: by an event only."""


class RecordedCondition(dg.AutomationCondition[dg.AssetKey]):
    """Condition on an asset that is computed from records of its past.

    Args:
        name: Its name in Dagster's evaluations, such as `stale`.
        find: Computes whether it is met, from the asset's records as of the time of an evaluation.
    """

    def __init__(self, name: str, find: Callable[[AssetRecords], ConditionResult]) -> None:
        self._name = name
        self._find = find

    @property
    def name(self) -> str:
        """Its name in Dagster's evaluations."""
        return self._name

    @property
    def requires_cursor(self) -> bool:
        """Whether it remembers anything from one evaluation to the next."""
        return False

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Compute it as of the evaluation's time, also if another condition makes it irrelevant."""
        view = context.asset_graph_view
        records = AssetRecords(view.instance, context.asset_graph, context.key, context.evaluation_time)
        found = self._find(records)
        met = context.candidate_subset if found.is_met else context.get_empty_subset()
        return dg.AutomationResult(context, met, metadata=_metadata(found))


def _metadata(found: ConditionResult) -> dict[str, dg.MetadataValue[Any]]:
    metadata: dict[str, dg.MetadataValue[Any]] = {
        IS_MET: dg.MetadataValue.bool(found.is_met),
        DETAIL: dg.MetadataValue.text(found.detail),
    }
    if found.next_at is not None:
        metadata[NEXT_AT] = dg.MetadataValue.timestamp(found.next_at)
    return metadata


def training_condition(plugin: Plugin, workspace: LazyWorkspace) -> Rule:
    """Return when a model is trained: the condition of `backtests/MODEL`.

    Args:
        plugin: The model.
        workspace: Settings, tuned configs and measurements are read from it at each evaluation.
    """
    of_model = ModelRules(plugin, workspace)
    reason = any_of([RecordedCondition(name, find) for name, find in of_model.reasons().items()])
    in_progress = dg.AutomationCondition.in_progress()
    version = dg.AutomationCondition.asset_matches(dg.AssetKey([MODELS, plugin.name]), in_progress)
    missing = dg.AutomationCondition.any_deps_missing()
    running = dg.AutomationCondition.any_deps_in_progress()
    return (
        (~(in_progress | version)).with_label(NOT_RUNNING)
        & (~(missing | running)).with_label(INPUTS_READY)
        & _inputs_sound()
        & RecordedCondition(MIN_GAP, of_model.min_gap)
        & RecordedCondition(NO_FAILURE, no_failure)
        & reason
    )


def following_condition(*, needs_all: bool = True) -> Rule:
    """Return when an asset follows those that it is made from: one was made again with another result.

    Args:
        needs_all: Whether it waits for inputs that were never made. The leaderboard must not: one model that
            can't be trained would hold up the comparison of all others.
    """
    requested = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    waits: Rule = dg.AutomationCondition.any_deps_in_progress()
    if needs_all:
        waits = dg.AutomationCondition.any_deps_missing() | waits
    return (
        (~dg.AutomationCondition.in_progress()).with_label(NOT_RUNNING)
        & (~waits).with_label(INPUTS_READY)
        & _inputs_sound()
        & RecordedCondition(NO_FAILURE, no_failure)
        & any_of([RecordedCondition("outdated", outdated), requested])
    )


def any_of(conditions: Sequence[Rule]) -> Rule:
    """Return the condition that one of these is met."""
    return reduce(or_, conditions)


def is_met(evaluation: Any) -> bool:
    """Return whether a condition was met, by Dagster's evaluation of it."""
    facts = evaluation.metadata or {}
    return bool(facts[IS_MET].value) if IS_MET in facts else not evaluation.true_subset.is_empty


def _inputs_sound() -> Rule:
    return dg.AutomationCondition.all_deps_blocking_checks_passed().with_label(INPUTS_SOUND)


class ModelRules:
    """The conditions of one model.

    Args:
        plugin: The model.
        workspace: Settings, tuned configs and measurements are read from it at each evaluation.
    """

    def __init__(self, plugin: Plugin, workspace: LazyWorkspace) -> None:
        self._plugin = plugin
        self._workspace = workspace

    def reasons(self) -> Mapping[str, Callable[[AssetRecords], ConditionResult]]:
        """Return name -> the function that computes a reason, in the order in which they are shown."""
        return {
            FIRST: first,
            NEW_DATA: new_data,
            CHANGED_CODE: self.changed_code,
            CHANGED_CONFIG: self.changed_config,
            STALE: self.stale,
            DRIFT: self.drift,
        }

    def changed_code(self, records: AssetRecords) -> ConditionResult:
        """Compute whether the code on disk is another than that of the last backtest."""
        now = model_code_version(self._plugin)
        then = None if records.newest is None else records.newest.tags.get(CODE_VERSION)
        is_met = then is not None and then != now
        return ConditionResult(
            is_met, f"{then} then, {now} now" if is_met else "the model's code is the same"
        )

    def changed_config(self, records: AssetRecords) -> ConditionResult:
        """Compute whether settings, tuning or the problem file are others than those of the last backtest."""
        then = None if records.newest is None else records.newest.tags.get(CONFIG_TAG)
        is_met = then is not None and then != config_version(self._workspace.open(), self._plugin)
        return ConditionResult(
            is_met, "config or problem have changed" if is_met else "config and problem are the same"
        )

    def stale(self, records: AssetRecords) -> ConditionResult:
        """Compute whether the last training is so long ago that it cost too much, by the measured loss."""
        opened = self._workspace.open()
        window = freshness_window(opened, self._plugin.name)
        if window is None:
            return ConditionResult(False, "no loss per week was measured that matters")
        trained = records.of(MODELS, self._plugin.name).newest
        if trained is None:
            return ConditionResult(False, "it was never trained")
        due, loss = trained.at + window, opened.settings.alerts.model_stale.loss
        detail = f"at {_minute(due)} it has lost {loss:.1%} of its metric, as measured"
        return ConditionResult(records.now >= due, detail, due)

    def drift(self, records: AssetRecords) -> ConditionResult:
        """Compute whether the model's drift report found drift that a training could still answer.

        Drift lasts until traffic shows a new version: `automation.drift_trainings` bounds what it may cause
        until a report is without drift again. On data that the model has learned from, a training would find
        the same version.
        """
        check = records.of(DRIFT_REPORT).newest_check(DRIFT_CHECK)
        if check is None or check.passed:
            return ConditionResult(False, "no drift is known")
        about, since = check.metadata.get(MODEL), check.metadata.get(SINCE)
        if about is None or about.value != self._plugin.name or since is None:
            return ConditionResult(False, "the drift is of another model")
        began = datetime.fromtimestamp(float(since.value), UTC)  # type: ignore[arg-type]
        if not records.changed_inputs:
            return ConditionResult(False, f"since {_minute(began)}; the model has learned from this data")
        most = self._workspace.open().settings.automation.drift_trainings
        trained = records.of(MODELS, self._plugin.name).changes_after(began)
        detail = f"since {_minute(began)}; trained {min(trained, most)} of at most {most} times since"
        return ConditionResult(trained < most, detail)

    def min_gap(self, records: AssetRecords) -> ConditionResult:
        """Compute whether the last training is `automation.min_gap_hours` ago.

        Drift does not wait. A run that finds nothing to train counts only if a condition requested it: a
        reason that no training answers would else start one run after the other.
        """
        if self.drift(records).is_met:
            return ConditionResult(True, "drift was found: new data does not wait")
        gap = timedelta(hours=self._workspace.open().settings.automation.min_gap_hours)
        last = max(filter(None, (records.changed_at, records.requested_at)), default=None)
        if last is None:
            return ConditionResult(True, "not trained yet")
        ends = last + gap
        return ConditionResult(
            records.now >= ends, f"trained at {_minute(last)}; not again before {_minute(ends)}", ends
        )


def first(records: AssetRecords) -> ConditionResult:
    """Compute whether the model was never trained."""
    newest = records.newest
    return (
        ConditionResult(True, "never trained")
        if newest is None
        else ConditionResult(False, f"made at {_minute(newest.at)}")
    )


def new_data(records: AssetRecords) -> ConditionResult:
    """Compute whether the data is another than that of the last backtest; not for a model that has none."""
    if records.newest is None:
        return ConditionResult(False, "there is no backtest to compare with")
    changed = records.changed_inputs
    return ConditionResult(bool(changed), f"new: {', '.join(changed)}" if changed else "the data is the same")


def outdated(records: AssetRecords) -> ConditionResult:
    """Compute whether an asset was made from other inputs than there are now."""
    changed = records.changed_inputs
    return ConditionResult(bool(changed), f"changed: {', '.join(changed)}" if changed else "up to date")


def no_failure(records: AssetRecords) -> ConditionResult:
    """Compute whether no run has failed to make the asset lately."""
    if records.failed_at is None:
        return ConditionResult(True, "the last run did not fail")
    again = records.failed_at + AFTER_FAILURE
    return ConditionResult(records.now >= again, f"a run failed; not again before {_minute(again)}", again)


def _minute(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
