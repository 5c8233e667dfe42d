"""Requests and feedback from the services' durable logs, and the feedback as rows for validation."""

import dagster as dg

from tastemaker_pipelines.common import DATA_TEAM, RETRY, readable_failures
from tastemaker_pipelines.data_versions import files_version, landed_version
from tastemaker_pipelines.ingestion.assets import landed_events, retention
from tastemaker_pipelines.resources import WorkspaceResource


@dg.asset(
    group_name="log",
    deps=[retention],
    kinds={"sqlite"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="Rows that foreign models wrote into the tables in_... and as files, checked and taken over.",
)
def reported_rows(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Take the rows over, each once: lists and feedback into the log, figures into the measurements."""
    from tastemaker.report_in.takeover import take_over

    with readable_failures():
        opened = workspace.open()
        taken = take_over(opened.settings, opened.engine)
    if taken.rejected:
        context.log.warning(f"{taken.rejected} rows were refused: see tastemaker report status")
    return dg.MaterializeResult(metadata=taken._asdict())


@dg.asset(
    group_name="log",
    deps=[retention, reported_rows],
    kinds={"sqlite", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="Requests, answers and feedback, moved from the services' durable logs into the lake.",
)
def served_requests(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Collect the logs, and merge files. While their database is unreachable, continue with the lake."""
    from tastemaker.event_log.merge import LOG_TABLES, merge
    from tastemaker.event_log.postgres import DatabaseUnavailable
    from tastemaker.event_log.shipping import collect

    with readable_failures():
        opened = workspace.open()
        try:
            drained = collect(opened.settings, opened.lake)
        except DatabaseUnavailable as error:
            context.log.warning(str(error))
            facts: dict[str, str | int] = {"away": error.problem}
        else:
            facts = drained._asdict()
        facts |= {f"files_{name}": count for name, count in merge(opened.lake)._asdict().items()}
    return dg.MaterializeResult(metadata=facts, data_version=files_version(opened.lake, *LOG_TABLES))


@dg.asset(
    group_name="log",
    deps=[landed_events, served_requests],
    kinds={"duckdb", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description=(
        "Feedback that callers sent to the services, as rows for validation: events that the source does "
        "not have, and items and users that it does not know."
    ),
)
def landed_feedback(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Copy the feedback of the log to where validation reads it."""
    from tastemaker.event_log.feedback_source import CALLERS_PART, FEEDBACK_SOURCE, land_feedback
    from tastemaker.privacy.retention import first_day

    with readable_failures():
        opened = workspace.open()
        landed = land_feedback(
            opened.lake,
            first_day=first_day(opened.settings.privacy.events_days),
            source=opened.settings.source,
        )
    version = landed_version(opened.lake, FEEDBACK_SOURCE, CALLERS_PART)
    return dg.MaterializeResult(metadata=landed._asdict(), data_version=version)
