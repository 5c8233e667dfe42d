"""The versions of the installed packages, and what changed since the last run."""

import dagster as dg

from tastemaker_pipelines.common import MODEL_TEAM, readable_failures
from tastemaker_pipelines.data_versions import version_of
from tastemaker_pipelines.resources import WorkspaceResource


@dg.asset(
    group_name="monitoring",
    kinds={"python"},
    owners=[MODEL_TEAM],
    description="The versions of the installed packages, compared with those of the run before.",
)
def installed_packages(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Store the versions if they differ from the newest stored ones."""
    from tastemaker.monitoring import dependencies

    with readable_failures():
        state = dependencies.installed_packages()
        changes = dependencies.record(workspace.open().engine, "packages", "installed", state)
    for change in changes:
        context.log.warning(change)
    return dg.MaterializeResult(
        metadata={"packages": len(state), "changes": "; ".join(changes) or "none"},
        data_version=version_of(state),
    )
