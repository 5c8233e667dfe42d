"""One asset per installed plugin: its backtest."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import dagster as dg

from tastemaker.plugins.discovery import BrokenPlugin, Plugin
from tastemaker_pipelines.common import MODEL_TEAM, TRAINING_POOL, readable_failures
from tastemaker_pipelines.data_versions import model_code_version
from tastemaker_pipelines.model_checks import (
    Result,
    attempt,
    broken_names,
    check_spec,
    failed,
    failure,
    headline,
    left_out,
)
from tastemaker_pipelines.resources import LazyWorkspace, WorkspaceResource
from tastemaker_pipelines.training.runs import cost_metadata, training_run

CHECK = "was_evaluated"
CHECKED = "The model was fitted and evaluated."


def backtest_asset(plugin: Plugin) -> dg.AssetsDefinition:
    """Return the asset `backtests/<name>`."""

    @dg.asset(
        key=["backtests", plugin.name],
        group_name="evaluation",
        deps=["events", "items", "users", *_inputs(plugin)],
        kinds={"python"},
        owners=[MODEL_TEAM],
        pool=TRAINING_POOL,
        code_version=model_code_version(plugin),
        check_specs=check_spec(CHECK, "backtests", plugin.name, CHECKED),
        description=(
            f"{headline(plugin)} Fitted on the training window and evaluated on the period after it: "
            "the evidence for the recipe."
        ),
    )
    def backtest(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> Iterator[Result]:
        with readable_failures():
            opened = workspace.open()
            workspace.trainer.read_data()
        result = attempt(opened, CHECK, plugin, "backtest", lambda: _evaluate(context, workspace, plugin))
        if reason := failure(result):
            workspace.failed[context.run.run_id, plugin.name] = reason
        yield result

    return backtest


def broken_assets(broken: Sequence[BrokenPlugin]) -> list[dg.AssetsDefinition]:
    """Return `backtests/<name>` of models that can't be used; they report why."""
    return [_broken(name, found) for name, found in broken_names(broken).items()]


def _inputs(plugin: Plugin) -> list[str]:
    """Return what the model reads besides events, items and users."""
    capabilities = plugin.recommender.capabilities
    features = capabilities.user_features or capabilities.item_features
    return [
        *(["user_features", "item_features"] if features else []),
        *(["served_requests"] if capabilities.learns_online else []),  # it learns from logged impressions
    ]


def _evaluate(context: dg.AssetExecutionContext, workspace: LazyWorkspace, plugin: Plugin) -> dict[str, Any]:
    from tastemaker.evaluation.leaderboard.formatting import span

    opened = workspace.open()
    result, cost = workspace.trainer.backtest(
        plugin,
        training_run(context.run, opened, plugin.name),
        progress=lambda done, all_: context.log.info(f"evaluated {done:,} of {all_:,} users"),
    )
    metric = opened.problem.metric
    primary = result.metrics[metric]
    return {
        metric: primary.value,
        "interval": span(primary),
        "users_evaluated": result.users,
        "train_seconds": result.train_seconds,
        "score_seconds": result.score_seconds,
        "artifact_bytes": result.artifact_bytes,
        "backtest": result.id,
        **cost_metadata(cost),
    }


def _broken(name: str, found: Collection[BrokenPlugin]) -> dg.AssetsDefinition:
    reason = "\n".join(str(one) for one in found)
    names = sorted({one.name for one in found})

    @dg.asset(
        key=["backtests", name],
        group_name="evaluation",
        kinds={"python"},
        owners=[MODEL_TEAM],
        check_specs=check_spec(CHECK, "backtests", name, CHECKED),
        description=f"A model that can't be used: {reason}",
    )
    def backtest(workspace: WorkspaceResource) -> Iterator[Result]:
        from tastemaker.evaluation import failures

        with readable_failures():
            opened = workspace.open()
            taking_part = [one for one in names if opened.takes_part(one)]
            for one in taking_part:
                failures.put(opened.engine, opened.problem.name, one, reason)
        yield failed(CHECK, f"model {reason}") if taking_part else left_out(CHECK)

    return backtest
