"""The days of the lake as partitions of an asset of their own, apart from the asset graph.

A partitioned asset within the graph would demand a partition of all who materialize it whole (decision 0003).
To see the days on Dagster's page:

    dagster dev -m tastemaker_pipelines.definitions -m tastemaker_pipelines.backfill.definitions
"""

from datetime import date

import dagster as dg

from tastemaker_pipelines.common import DATA_TEAM, RETRY, log_progress, readable_failures
from tastemaker_pipelines.resources import LazyWorkspace, WorkspaceResource, workspace_resource

VALIDATED_DAYS = "validated_days"


@dg.definitions
def defs() -> dg.Definitions:
    """Return the asset over the days that are landed now."""
    return build_backfill_defs(LazyWorkspace())


def build_backfill_defs(workspace: LazyWorkspace) -> dg.Definitions:
    """Return the asset over the days that are landed now.

    Args:
        workspace: The lake and the source's name.
    """
    opened = workspace.open()
    days = opened.lake.days("landed_events", part=opened.settings.source.name)
    return dg.Definitions(
        assets=[_validated_days(days)],
        resources={"workspace": workspace_resource(workspace)},
        executor=dg.in_process_executor,
    )


def _validated_days(days: list[date]) -> dg.AssetsDefinition:
    @dg.asset(
        name=VALIDATED_DAYS,
        group_name="backfill",
        kinds={"great_expectations", "parquet"},
        owners=[DATA_TEAM],
        partitions_def=dg.StaticPartitionsDefinition([day.isoformat() for day in days]),
        retry_policy=RETRY,
        description="Landed days, validated and staged; the asset events publishes them as they are.",
    )
    def validated_days(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult[None]:
        """Validate the partitions' days."""
        from tastemaker.data.validation.publishing import stage_days
        from tastemaker_expectations.gate import GreatExpectationsGate

        with readable_failures():
            opened = workspace.open()
            counts = stage_days(
                opened.settings.source.name,
                opened.lake,
                GreatExpectationsGate(opened.settings.source.name),
                opened.engine,
                days={date.fromisoformat(key) for key in context.partition_keys},
                chunk_rows=opened.settings.chunk_rows,
                progress=log_progress(context),
            )
        return dg.MaterializeResult(
            metadata={"rows": counts.accepted, "read": counts.read, "quarantined": counts.refused}
        )

    return validated_days
