"""One asset per installed plugin: a version of the model, fitted on all data, that may be served."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from tastemaker.evaluation.failures import reason_of
from tastemaker.plugins.discovery import Plugin
from tastemaker_pipelines.common import MODEL_TEAM, TRAINING_POOL, readable_failures
from tastemaker_pipelines.data_versions import model_code_version
from tastemaker_pipelines.model_checks import Result, attempt, check_spec, failed, headline
from tastemaker_pipelines.resources import LazyWorkspace, WorkspaceResource
from tastemaker_pipelines.training.runs import cost_metadata, training_run

CHECK = "was_fitted"


def model_asset(plugin: Plugin) -> dg.AssetsDefinition:
    """Return the asset `models/<name>`."""

    @dg.asset(
        key=["models", plugin.name],
        group_name="training",
        deps=[["backtests", plugin.name]],
        kinds={"python"},
        owners=[MODEL_TEAM],
        pool=TRAINING_POOL,
        code_version=model_code_version(plugin),
        check_specs=check_spec(CHECK, "models", plugin.name, "A version for the current data is registered."),
        description=f"{headline(plugin)} Fitted on all data until now: a version that may be served.",
    )
    def model(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> Iterator[Result]:
        with readable_failures():
            opened = workspace.open()
            workspace.trainer.read_data()
        if reason := workspace.failed.get((context.run.run_id, plugin.name)):
            yield failed(CHECK, f"there is no new version, for the backtest failed: {reason}")
        else:
            yield attempt(opened, CHECK, plugin, "version", lambda: _fit(context, workspace, plugin))

    return model


def _fit(context: dg.AssetExecutionContext, workspace: LazyWorkspace, plugin: Plugin) -> dict[str, Any]:
    from tastemaker.evaluation import failures

    opened = workspace.open()
    problem = opened.problem.name
    try:
        version, cost = workspace.trainer.train(plugin, training_run(context.run, opened, plugin.name))
    except Exception as error:
        reason = failures.NOT_FITTED + reason_of(plugin.name, error)
        failures.put(opened.engine, problem, plugin.name, reason)
        raise
    failures.clear(opened.engine, problem, plugin.name, fitted=True)
    return {"version": version.id, "events": version.manifest.counts["events"], **cost_metadata(cost)}
