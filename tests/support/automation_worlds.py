"""A model with its inputs in an instance of Dagster's in memory, at times that a test chooses."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.test_utils import freeze_time
from sqlalchemy import insert

from support import small_shop
from tastemaker.plugins.discovery import Plugin, find
from tastemaker.storage.tables import stalenesses
from tastemaker_pipelines.automation import conditions
from tastemaker_pipelines.automation.records import CODE_VERSION, DATA_VERSION, INPUT_VERSION
from tastemaker_pipelines.data_versions import CONFIG_TAG, config_version, model_code_version
from tastemaker_pipelines.monitoring.drift_check import DRIFT_CHECK, DRIFT_REPORT, drift_spec
from tastemaker_pipelines.resources import LazyWorkspace

MODEL = "popularity"
START = datetime(2026, 3, 2, tzinfo=UTC)
BACKTEST, VERSION = dg.AssetKey(["backtests", MODEL]), dg.AssetKey(["models", MODEL])
INPUTS = ("events", "items")


def hours(number: float) -> datetime:
    """The time so many hours after START."""
    return START + timedelta(hours=number)


def losses(problem: str, model: str, *, fresh: float = 0.2, per_week: float = 0.02) -> dict[str, Any]:
    """A row of `stalenesses`: a metric, and what it loses in a week without a training."""
    return {
        "problem": problem,
        "model": model,
        "config": {},
        "data_hash": "",
        "metric": "ndcg",
        "trained_until": START,
        "fresh": {"value": fresh, "low": fresh, "high": fresh},
        "loss_per_week": {"value": per_week, "low": per_week / 2, "high": 2 * per_week},
        "weeks": [],
        "created_at": START,
    }


class Evaluated(NamedTuple):
    """What an evaluation came to."""

    requested: set[str]
    met: set[str]
    """Names of the conditions of the model's training that are met."""
    details: dict[str, str]


class AutomatedModel:
    """One model, and what Dagster knows of it."""

    def __init__(self, home: Path, instance: dg.DagsterInstance | None = None, **settings: Any) -> None:
        self.home = home
        self.instance = instance or dg.DagsterInstance.ephemeral(str(home))
        [self.plugin] = [plugin for plugin in find().sound if plugin.name == MODEL]
        self.cursor: Any = None
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Continue with other settings, as after a change of tastemaker.toml."""
        self.workspace = LazyWorkspace(small_shop.settings(self.home, **settings))
        self.assets = _assets(self.plugin, self.workspace)

    def land(
        self, at: datetime, version: str, *, names: Collection[str] = INPUTS, sound: bool = True
    ) -> None:
        """Make the inputs, with this data version."""
        for name in names:
            self._made(at, dg.AssetKey(name), {DATA_VERSION: version})
        if "events" in names:
            self._check(at, dg.AssetKey("events"), "batch_is_sound", passed=sound)

    def train(self, at: datetime, data: str, *, result: str | None = None) -> None:
        """Make the backtest and the version from inputs of this data version."""
        made = result or f"backtest of {data}"
        from_inputs = {INPUT_VERSION + name: data for name in INPUTS}
        of_recipe = {
            CODE_VERSION: model_code_version(self.plugin),
            CONFIG_TAG: config_version(self.workspace.open(), self.plugin),
        }
        self._made(at, BACKTEST, {DATA_VERSION: made, **from_inputs, **of_recipe})
        self._made(
            at,
            VERSION,
            {DATA_VERSION: f"version of {made}", INPUT_VERSION + BACKTEST.to_user_string(): made},
        )

    def compare(self, at: datetime, data: str) -> None:
        """Make the leaderboard from the backtest on this data."""
        made_from = {INPUT_VERSION + BACKTEST.to_user_string(): f"backtest of {data}"}
        self._made(at, dg.AssetKey("leaderboard"), {DATA_VERSION: f"board of {data}", **made_from})

    def measure_loss(self, **figures: float) -> None:
        """Store what the model loses when it is not trained."""
        opened = self.workspace.open()
        with opened.engine.begin() as connection:
            connection.execute(insert(stalenesses), [losses(opened.problem.name, MODEL, **figures)])

    def report_drift(self, at: datetime, since: datetime | None, model: str = MODEL) -> None:
        """Store a drift report's check."""
        metadata = {"model": dg.MetadataValue.text(model)}
        if since is not None:
            metadata["since"] = dg.MetadataValue.timestamp(since)  # type: ignore[assignment]
        self._check(at, dg.AssetKey(DRIFT_REPORT), DRIFT_CHECK, passed=since is None, metadata=metadata)

    def start_run(self, at: datetime, *keys: dg.AssetKey) -> dg.DagsterRun:
        """Start a run that should make these assets, and leave it running."""
        job = dg.Definitions(assets=self.assets).resolve_implicit_global_asset_job_def()
        with freeze_time(at):
            return self.instance.create_run_for_job(
                job.get_subset(asset_selection=set(keys)),
                asset_selection=frozenset(keys),
                status=dg.DagsterRunStatus.STARTED,
            )

    def fail(self, run: dg.DagsterRun) -> None:
        """End a run without success."""
        self.instance.report_run_failed(run)

    def evaluate(self, at: datetime) -> Evaluated:
        """Evaluate the conditions at a time, after the evaluations before."""
        with freeze_time(at):
            result = dg.evaluate_automation_conditions(
                self.assets, self.instance, evaluation_time=at, cursor=self.cursor
            )
        self.cursor = result.cursor
        [of_model] = [one for one in result.results if one.key == BACKTEST]
        nodes = {
            node.condition_snapshot.label or node.condition_snapshot.name: node
            for node in of_model.serializable_evaluation.iter_nodes()
        }
        known = {name: node for name, node in nodes.items() if name in conditions.REASONS + conditions.HOLDS}
        met = {name for name, node in known.items() if conditions.is_met(node)}
        details = {
            str(name): str(node.metadata[conditions.DETAIL].value)
            for name, node in known.items()
            if node.metadata
        }
        requested = {one.key.to_user_string() for one in result.results if not one.true_subset.is_empty}
        return Evaluated(requested, {str(name) for name in met}, details)

    def _made(self, at: datetime, key: dg.AssetKey, tags: dict[str, str]) -> None:
        with freeze_time(at):
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key, tags=tags))

    def _check(
        self, at: datetime, key: dg.AssetKey, name: str, *, passed: bool, metadata: Any = None
    ) -> None:
        result = dg.AssetCheckEvaluation(
            asset_key=key, check_name=name, passed=passed, metadata=metadata or {}
        )
        with freeze_time(at):
            self.instance.report_runless_asset_event(result)


def _assets(plugin: Plugin, workspace: LazyWorkspace) -> list[dg.AssetsDefinition]:
    sound = dg.AssetCheckSpec("batch_is_sound", asset="events", blocking=True)
    specs = [
        dg.AssetSpec("items"),
        dg.AssetSpec(
            BACKTEST, deps=INPUTS, automation_condition=conditions.training_condition(plugin, workspace)
        ),
        dg.AssetSpec(VERSION, deps=[BACKTEST], automation_condition=conditions.following_condition()),
        dg.AssetSpec(
            "leaderboard",
            deps=[BACKTEST, dg.AssetKey(["backtests", "never_trained"])],
            automation_condition=conditions.following_condition(needs_all=False),
        ),
    ]
    return [
        _asset(dg.AssetSpec("events"), sound),
        *map(_asset, specs),
        _asset(dg.AssetSpec(DRIFT_REPORT), drift_spec()),
    ]


def _asset(spec: dg.AssetSpec, *checks: dg.AssetCheckSpec) -> dg.AssetsDefinition:
    @dg.multi_asset(name=spec.key.to_python_identifier(), specs=[spec], check_specs=checks)
    def made() -> Iterator[dg.MaterializeResult[None]]:
        yield from ()  # only the records count

    return made
