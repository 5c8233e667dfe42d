"""The champion."""

from collections.abc import Sequence

import dagster as dg

from tastemaker_pipelines.common import MODEL_TEAM, readable_failures
from tastemaker_pipelines.data_versions import version_of
from tastemaker_pipelines.resources import WorkspaceResource


def champion_asset(models: Sequence[str]) -> dg.AssetsDefinition:
    """Return the asset `champion`, chosen among the versions of these models."""

    @dg.asset(
        group_name="promotion",
        deps=["leaderboard", *(dg.AssetKey(["models", name]) for name in models)],
        kinds={"python"},
        owners=[MODEL_TEAM],
        description=(
            "The version that is served where no model is named: the best model's newest version, "
            "if it beats the baseline, breaks no guardrail and is not worse than the champion; else the "
            "champion's recipe with newer data, unless it is worse than the baseline."
        ),
    )
    def champion(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult[None]:
        from tastemaker.workflows.promote import promote_best

        with readable_failures():
            opened = workspace.open()
            promotion = promote_best(opened)
        if promotion.warning is not None:
            context.log.warning(promotion.warning)
        version = promotion.version
        return dg.MaterializeResult(
            data_version=version_of(version and version.id),
            metadata={
                "model": version.model if version else f"{opened.problem.baseline} (no champion yet)",
                "why": promotion.why,
                "version": version.id if version else "",
            }
            | ({} if promotion.warning is None else {"warning": promotion.warning}),
        )

    return champion
