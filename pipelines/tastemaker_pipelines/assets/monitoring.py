"""What was served, and how far it has drifted from what was learned."""

import dagster as dg

from tastemaker_pipelines.assets.common import DATA_TEAM, RETRY, told
from tastemaker_pipelines.resources import WorkspaceResource


@dg.asset(
    group_name="monitoring",
    kinds={"sqlite", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="Requests and the impressions they made, moved from the services' durable log into the lake.",
)
def served_requests(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Drain the spool. The impressions are events that the next run reads."""
    from tastemaker.logs.drain import drain

    with told():
        opened = workspace.open()
        drained = drain(opened.settings.spool, opened.lake)
    return dg.MaterializeResult(metadata={"requests": drained.requests, "impressions": drained.impressions})
