"""One asset per model with features that can be left out: what each contributes, and what it costs."""

import dagster as dg

from tastemaker.plugins import Recommender
from tastemaker.plugins.discovery import Plugin
from tastemaker_pipelines.common import MODEL_TEAM, TRAINING_POOL, readable_failures
from tastemaker_pipelines.data_versions import model_code_version
from tastemaker_pipelines.resources import WorkspaceResource

ABLATIONS = "ablations"
"""Prefix of the assets' keys. They fit a model once per feature, so nothing else materializes them."""


def has_ablations(plugin: Plugin) -> bool:
    """Return whether the model declares features that can be left out."""
    declaring = next(kind for kind in plugin.recommender.__mro__ if "ablations" in vars(kind))
    return declaring is not Recommender


def ablation_asset(plugin: Plugin) -> dg.AssetsDefinition:
    """Return the asset `ablations/<name>`."""

    @dg.asset(
        key=[ABLATIONS, plugin.name],
        group_name="evaluation",
        deps=[dg.AssetKey(["backtests", plugin.name])],
        kinds={"html"},
        owners=[MODEL_TEAM],
        pool=TRAINING_POOL,
        code_version=model_code_version(plugin),
        description=(
            f"What each feature of {plugin.name} contributes to the metric and costs per request: the model "
            "is fitted without each of them in turn."
        ),
    )
    def ablations(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult[None]:
        from tastemaker.workflows import ablation

        with readable_failures():
            opened = workspace.open()
            found, page = ablation.measure(
                opened, plugin, report=lambda what, figure: context.log.info(f"{what}: {figure:.4f}")
            )
        by_verdict = {
            verdict: ", ".join(one.name for one in found.features if one.verdict == verdict) or "none"
            for verdict in ("helps", "hurts")
        }
        return dg.MaterializeResult(
            metadata={
                "features": len(found.features),
                **by_verdict,
                "milliseconds_per_request": found.milliseconds,
                "page": dg.MetadataValue.path(str(page.resolve())),
            }
        )

    return ablations
