"""Two assets a model, made from the installed plugins: its backtest, and the version that is fit to serve."""

import dagster as dg

from tastemaker.plugins.finder import Plugin
from tastemaker_pipelines.assets.common import MODEL_TEAM, told
from tastemaker_pipelines.resources import WorkspaceResource


def training_assets(plugin: Plugin) -> tuple[dg.AssetsDefinition, dg.AssetsDefinition]:
    """`backtests/<name>` and `models/<name>`."""
    return _backtest(plugin), _model(plugin)


def _needs_features(plugin: Plugin) -> list[str]:
    capabilities = plugin.recommender.capabilities
    return (
        ["user_features", "item_features"] if capabilities.user_features or capabilities.item_features else []
    )


def _backtest(plugin: Plugin) -> dg.AssetsDefinition:
    @dg.asset(
        key=["backtests", plugin.name],
        group_name="backtests",
        deps=["events", "items", *_needs_features(plugin)],
        kinds={"python"},
        owners=[MODEL_TEAM],
        code_version=plugin.version,
        description=(
            f"{_headline(plugin)} Fitted on the training window and judged on the period after it: "
            "the evidence for the recipe."
        ),
    )
    def backtest(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult[None]:
        from tastemaker.evaluation.wording import span

        with told():
            opened = workspace.open()
            result = opened.backtest(
                plugin,
                progress=lambda done, all_: context.log.info(f"judged {done:,} of {all_:,} users"),
            )
        primary = result.metrics[opened.problem.metric]
        return dg.MaterializeResult(
            metadata={
                opened.problem.metric: primary.value,
                "interval": span(primary),
                "users_judged": result.users,
                "train_seconds": result.train_seconds,
                "score_seconds": result.score_seconds,
                "artifact_bytes": result.artifact_bytes,
                "backtest": result.id,
            }
        )

    return backtest


def _model(plugin: Plugin) -> dg.AssetsDefinition:
    @dg.asset(
        key=["models", plugin.name],
        group_name="models",
        deps=[["backtests", plugin.name]],
        kinds={"python"},
        owners=[MODEL_TEAM],
        code_version=plugin.version,
        description=f"{_headline(plugin)} Fitted on everything until now: a version that may be served.",
    )
    def model(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
        from tastemaker.training import train

        with told():
            version = train(workspace.open(), plugin)
        return dg.MaterializeResult(
            metadata={
                "version": version.id,
                "events": version.manifest.counts["events"],
            }
        )

    return model


def _headline(plugin: Plugin) -> str:
    return (plugin.recommender.__doc__ or plugin.name).strip().splitlines()[0]
