"""Rows as they came: what the source has and the lake has not."""

from collections.abc import Callable
from datetime import date

import dagster as dg

from tastemaker.data.source_period import Period, kept
from tastemaker.errors import TastemakerError
from tastemaker_pipelines.assets.common import DATA_TEAM, RETRY, told
from tastemaker_pipelines.resources import WorkspaceResource


class IngestConfig(dg.Config):
    """Which days to read. Without a word: every day that is new or changed."""

    start: str | None = None
    """First day, YYYY-MM-DD."""
    end: str | None = None
    """Last day, inclusive, YYYY-MM-DD."""
    again: bool = False
    """Read these days anew though they did not change: a backfill."""


@dg.asset(
    group_name="ingestion",
    kinds={"parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="What is older than the settings' retention periods is deleted, before anything new is read.",
)
def retention(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Delete expired days."""
    from tastemaker.privacy.retention import expire

    with told():
        opened = workspace.open()
        expired = expire(opened.settings, opened.lake)
    return dg.MaterializeResult(metadata=expired._asdict())


@dg.asset(
    group_name="ingestion",
    deps=[retention],
    kinds={"duckdb", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description=(
        "Events, items and users as the source gave them, by day. Only days whose digest changed are read; "
        "launch with start and end to restrict it, and with again for a backfill."
    ),
)
def landed_events(
    context: dg.AssetExecutionContext, config: IngestConfig, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Copy new and changed days into the lake."""
    from tastemaker.data.ingest import land

    with told():
        opened = workspace.open()
        source = opened.source
        landed = land(
            source,
            opened.lake,
            days=chosen_days(config.start, config.end),
            again=config.again,
            chunk_rows=opened.settings.chunk_rows,
            progress=logged(context),
        )
    read = [each for reading in source.readings for each in reading.warnings]
    gone = f"the source no longer has {landed.removed}: removed" if landed.removed.days else ""
    if warning := "; ".join(filter(None, [gone, kept(landed.outside, source.name), landed.stray, *read])):
        context.log.warning(warning)
    return dg.MaterializeResult(
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
            **({"warning": warning} if warning else {}),
        }
    )


@dg.asset(
    group_name="ingestion",
    deps=[landed_events, "served_requests"],
    kinds={"duckdb", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description=(
        "What callers told the services, as rows for the gate: events that the source does not have, and "
        "items and users that it does not know."
    ),
)
def landed_feedback(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Land what the log tells."""
    from tastemaker.event_log.feedback_source import land_feedback
    from tastemaker.privacy.retention import first_day

    with told():
        opened = workspace.open()
        landed = land_feedback(
            opened.lake,
            first_day=first_day(opened.settings.privacy.events_days),
            source=opened.settings.source,
        )
    return dg.MaterializeResult(metadata=landed._asdict())


def chosen_days(start: str | None, end: str | None) -> Period | None:
    """The days in a range; None for all. Raises TastemakerError for what is no date."""
    if start is None and end is None:
        return None
    first = date.min if start is None else _day("start", start)
    last = date.max if end is None else _day("end", end)
    if first > last:
        raise TastemakerError(f"start is {first}, after end, {last}", fix="swap them")
    return Period(first, last)


def logged(context: dg.AssetExecutionContext) -> Callable[[str, int, int], None]:
    """Progress as about twenty lines of the step's log."""

    def progress(stage: str, done: int, total: int) -> None:
        if done == total or done % max(total // 20, 1) == 0:
            context.log.info(f"{stage}: {done:,} of {total:,} days")

    return progress


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise TastemakerError(f"{name} is {text!r}, must be a day", fix="write it as 2011-12-09") from error
