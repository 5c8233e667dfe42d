"""A code location of one model whose assets take no time, under the conditions and sensors of the product.

It is loaded by Dagster's code server, in a home folder that the environment names. The sensors look each
second: the settings allow five and more.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from tastemaker.data.ingest import land
from tastemaker.plugins import discovery
from tastemaker.settings import load_settings
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.automation.new_days import landing_job
from tastemaker_pipelines.automation.sensors import automated, automation_sensors
from tastemaker_pipelines.data_versions import (
    CONFIG_TAG,
    config_version,
    landed_version,
    model_code_version,
)
from tastemaker_pipelines.monitoring.drift_check import drift_result, drift_spec
from tastemaker_pipelines.resources import LazyWorkspace, WorkspaceResource, workspace_resource

MODEL = "popularity"
PLUGIN = discovery.get(MODEL)
SETTINGS = load_settings()
EAGER = SETTINGS.automation.model_copy(update={"poll_seconds": 1})
WORKSPACE = LazyWorkspace(SETTINGS.model_copy(update={"automation": EAGER}))


@dg.asset(group_name="ingestion")
def events(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """The days of the source, landed."""
    opened = workspace.open()
    land(Workspace(opened.settings).source, opened.lake)  # runs share a process, and the file changes
    return dg.MaterializeResult(data_version=landed_version(opened.lake, opened.source.name))


@dg.asset(
    key=["backtests", MODEL],
    deps=[events],
    group_name="evaluation",
    code_version=model_code_version(PLUGIN),
)
def backtest(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """As the asset of the product: with the versions of code and config."""
    opened = workspace.open()
    version = landed_version(opened.lake, opened.source.name)
    return dg.MaterializeResult(data_version=version, tags={CONFIG_TAG: config_version(opened, PLUGIN)})


@dg.asset(key=["models", MODEL], deps=[["backtests", MODEL]], group_name="training")
def model() -> None:
    """Nothing: its data version is that of the backtest."""


@dg.asset(deps=[["backtests", MODEL]], group_name="evaluation")
def leaderboard() -> None:
    """Nothing, too."""


@dg.asset(deps=[leaderboard, ["models", MODEL]], group_name="promotion")
def champion() -> None:
    """Nothing, too."""


@dg.asset(group_name="monitoring")
def ranking_report() -> None:
    """Nothing, too."""


@dg.asset(check_specs=[drift_spec()], group_name="monitoring")
def drift_report() -> Iterator[dg.MaterializeResult[None]]:
    """No drift."""
    yield dg.MaterializeResult(check_results=[drift_result(MODEL, None, "Nothing has changed.")])


defs = dg.Definitions(
    assets=dg.map_asset_specs(
        automated([PLUGIN], WORKSPACE),
        [events, backtest, model, leaderboard, champion, ranking_report, drift_report],
    ),
    resources={"workspace": workspace_resource(WORKSPACE)},
    executor=dg.in_process_executor,
    jobs=[landing_job()],
    sensors=automation_sensors(WORKSPACE),
)
