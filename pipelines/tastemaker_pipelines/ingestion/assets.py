"""Days that the source has and the lake lacks."""

from datetime import UTC, date, datetime

import dagster as dg

from tastemaker.data.source_period import Period, kept
from tastemaker.errors import TastemakerError
from tastemaker_pipelines.common import DATA_TEAM, RETRY, log_progress, readable_failures
from tastemaker_pipelines.data_versions import landed_version
from tastemaker_pipelines.old_runs import delete_old_runs
from tastemaker_pipelines.resources import WorkspaceResource


class IngestConfig(dg.Config):
    """Which days to read. By default every day that is new or changed."""

    start: str | None = None
    """First day, YYYY-MM-DD."""
    end: str | None = None
    """Last day, inclusive, YYYY-MM-DD."""
    force: bool = False
    """Read these days even if they did not change (a backfill)."""


@dg.asset(
    group_name="ingestion",
    kinds={"parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description=(
        "Rows and runs older than the retention periods of the settings, deleted before anything new is read."
    ),
)
def retention(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Delete expired days and runs."""
    from tastemaker.privacy.retention import expire

    with readable_failures():
        opened = workspace.open()
        expired = expire(opened.settings, opened.lake)
        days = opened.settings.orchestrator.runs_days
        runs_deleted = delete_old_runs(context.instance, days, datetime.now(UTC))
    return dg.MaterializeResult(metadata={**expired._asdict(), "runs_deleted": runs_deleted})


@dg.asset(
    group_name="ingestion",
    deps=[retention],
    kinds={"duckdb", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description=(
        "Events, items and users exactly as the source gave them, by day. Only days whose digest changed are "
        "read. Launch with start and end to restrict the days, and with force for a backfill."
    ),
)
def landed_events(
    context: dg.AssetExecutionContext, config: IngestConfig, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Copy new and changed days into the lake."""
    from tastemaker.data.ingest import land
    from tastemaker.monitoring import dependencies

    with readable_failures():
        opened = workspace.open()
        source = opened.source
        landed = land(
            source,
            opened.lake,
            days=chosen_days(config.start, config.end),
            force=config.force,
            chunk_rows=opened.settings.chunk_rows,
            progress=log_progress(context),
        )
        opened.lake.source_has_ended = opened.source_settings.ended
        form = dependencies.source_state(source.readings)
        changes = dependencies.record(opened.engine, "source", source.name, form)
    read = [each for reading in source.readings for each in reading.warnings]
    gone = f"the source no longer has {landed.removed}: removed" if landed.removed.days else ""
    if warning := "; ".join(filter(None, [gone, kept(landed.outside, source.name), landed.stray, *read])):
        context.log.warning(warning)
    return dg.MaterializeResult(
        data_version=landed_version(opened.lake, source.name),
        metadata={
            "rows": landed.rows,
            "days_read": len(landed.days),
            "days_unchanged": landed.unchanged,
            "source": source.name,
            "items": landed.items,
            "users": landed.users,
            "days_removed": len(landed.removed.days),
            "rows_removed": landed.removed.rows,
            "days_not_covered": len(landed.outside.days),
            "rows_not_covered": landed.outside.rows,
            **({"source_changes": "; ".join(changes)} if changes else {}),
            **({"warning": warning} if warning else {}),
        },
    )


def chosen_days(start: str | None, end: str | None) -> Period | None:
    """Return the days from `start` to `end`, or None for all days.

    Args:
        start: First day, YYYY-MM-DD; None for no limit.
        end: Last day, inclusive; None for no limit.

    Raises:
        TastemakerError: Where one is not a date, or `start` is after `end`.
    """
    if start is None and end is None:
        return None
    first = date.min if start is None else _day("start", start)
    last = date.max if end is None else _day("end", end)
    if first > last:
        raise TastemakerError(f"start is {first}, after end, {last}", fix="swap them")
    return Period(first, last)


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise TastemakerError(f"{name} is {text!r}, must be a day", fix="write it as 2011-12-09") from error
