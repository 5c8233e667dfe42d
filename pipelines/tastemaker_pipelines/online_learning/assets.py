"""The states of models that learn from live feedback between two trainings."""

import dagster as dg

from tastemaker_pipelines.common import MODEL_TEAM, readable_failures
from tastemaker_pipelines.data_versions import version_of
from tastemaker_pipelines.log.assets import served_requests
from tastemaker_pipelines.resources import WorkspaceResource


@dg.asset(
    group_name="online_learning",
    deps=[served_requests],
    kinds={"numpy"},
    owners=[MODEL_TEAM],
    description=(
        "States that online learning models reached from live feedback: a checkpoint of each version that "
        "answers requests. Its services load the newest one. What the variants of experiments learned from "
        "is counted."
    ),
)
def learned_states(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Let each served version learn once. A version that `tastemaker learn` follows already is left to it."""
    from tastemaker.workflows.learned_lists import store_learned_lists
    from tastemaker.workflows.online_learning import LearnerBusy, learning_session, served_learners

    learned: dict[str, str] = {}
    with readable_failures():
        opened = workspace.open()
        for version in served_learners(opened):
            try:
                with learning_session(opened, version, wait=False) as learning:
                    learned[version.model] = f"{learning.step().position.impressions:,} impressions"
            except LearnerBusy as busy:
                context.log.info(str(busy))
                learned[version.model] = "left to the learner that follows"
        store_learned_lists(opened)
    return dg.MaterializeResult(
        metadata={"versions": len(learned), **learned}, data_version=version_of(learned)
    )
