"""The tables that models may learn from, and quarantine with the reason for each row."""

from collections.abc import Iterator

import dagster as dg

from tastemaker.data.lake import Lake
from tastemaker.data.tables import HISTORY
from tastemaker.data.validation.gate import GateCounts
from tastemaker.data.validation.publishing import Published
from tastemaker.errors import GateError, TastemakerError
from tastemaker.html import index
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.common import DATA_TEAM, MEMORY_POOL, RETRY, log_progress, readable_failures
from tastemaker_pipelines.data_versions import files_version
from tastemaker_pipelines.failures import GATE, SOUND
from tastemaker_pipelines.ingestion.assets import landed_events
from tastemaker_pipelines.log.assets import landed_feedback
from tastemaker_pipelines.resources import WorkspaceResource

FIT = "problem_fits"
TABLES = {
    "events": "Which user did what to which item, when, and its value. Only rows that passed every rule.",
    "items": "The catalogue: the items that passed every rule.",
    "users": "The known users that passed every rule.",
    "quarantine": "Rows that failed a rule, unchanged, each with the rule.",
}


@dg.multi_asset(
    name=GATE,
    group_name="validation",
    specs=[
        dg.AssetSpec(
            name,
            deps=[landed_events, landed_feedback],
            kinds={"great_expectations", "parquet"},
            owners=[DATA_TEAM],
            description=description,
        )
        for name, description in TABLES.items()
    ],
    check_specs=[
        dg.AssetCheckSpec(
            SOUND,
            asset="events",
            blocking=True,
            description="The batch as a whole is plausible. If not, the tables keep their previous rows.",
        ),
        dg.AssetCheckSpec(
            FIT,
            asset="events",
            blocking=True,
            description="The data has the events, columns and test period that the problem needs.",
        ),
    ],
    pool=MEMORY_POOL,
    retry_policy=RETRY,
)
def gate(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Validate the landed days with Great Expectations; a batch that fails blocks everything downstream."""
    from tastemaker.data.validation.publishing import validate_and_publish
    from tastemaker.monitoring.lake_queries import record_lake
    from tastemaker_expectations.gate import GreatExpectationsGate

    with readable_failures():
        opened = workspace.open()
        published: list[Published] = []
        pages: list[str] = []
        refusal, reports = None, opened.settings.reports.resolve()
        for source in _sources(opened):
            validator = GreatExpectationsGate(source)
            try:
                published.append(
                    validate_and_publish(
                        source,
                        opened.lake,
                        validator,
                        opened.engine,
                        chunk_rows=opened.settings.chunk_rows,
                        progress=log_progress(context),
                    )
                )
            except GateError as error:
                refusal = refusal or error
            pages += map(str, validator.write_docs(reports / "data_docs"))
        index.rewrite(reports)
        record_lake(opened.settings)
    if refusal is not None:
        context.log.error(str(refusal))
        yield dg.AssetCheckResult(
            check_name=SOUND,
            asset_key="events",
            passed=False,
            metadata={"why": refusal.problem, "fix": refusal.fix},
        )
        raise dg.Failure(description=str(refusal), allow_retries=False)
    total = GateCounts()
    for each in published:
        total.add(each.total)
    unfit, misfits = _fit(context, opened)
    warning = "; ".join(filter(None, [misfits, *published[-1].warnings]))
    if warning:
        context.log.warning(warning)
    yield from _materialized(opened.lake, published[-1].tables, total, pages, warning)
    yield dg.AssetCheckResult(
        check_name=SOUND,
        asset_key="events",
        passed=True,
        metadata={"quarantined": total.refused, "accepted": total.accepted},
    )
    yield dg.AssetCheckResult(
        check_name=FIT,
        asset_key="events",
        passed=not unfit,
        description=unfit or "The data fits the problem.",
    )
    if unfit:
        raise dg.Failure(description=unfit, allow_retries=False)


def _fit(context: dg.AssetExecutionContext, opened: Workspace) -> tuple[str, str]:
    """Return why no model can learn from the data, and which parts of the problem match no row.

    Both are empty if all is well, and in a run without backtests, which does not check it. Reporting it here
    keeps each model's backtest from repeating it.
    """
    from tastemaker.data.validation.problem_fit import misfits

    selected = context.run.asset_selection  # empty: every asset
    if selected and not any(key.path[0] == "backtests" for key in selected):
        return "", ""
    try:
        with opened.lake.connect() as connection:
            found = "; ".join(misfits(connection, opened.problem, opened.settings.serving.static_items))
        opened.split()
    except TastemakerError as error:
        return str(error), ""
    return "", found


def _sources(opened: Workspace) -> list[str]:
    """Return the shop's source, and the feedback of callers if there is any."""
    from tastemaker.event_log.feedback_source import FEEDBACK_SOURCE

    has_feedback = opened.lake.files("landed_events", part=FEEDBACK_SOURCE)
    return [opened.source.name, *([FEEDBACK_SOURCE] if has_feedback else [])]


def _materialized(
    lake: Lake, tables: dict[str, GateCounts], total: GateCounts, pages: list[str], warning: str
) -> Iterator[dg.MaterializeResult[None]]:
    for table, counts in {**tables, "events": total}.items():
        noted = {"warning": warning} if table == "events" and warning else {}
        files = (table, HISTORY) if table == "items" else (table,)
        yield dg.MaterializeResult(
            asset_key=table,
            metadata={**_facts(counts), **noted},
            data_version=files_version(lake, *files),
        )
    reasons = "\n".join(
        f"| {rule} | {rows:,} |" for rule, rows in sorted(total.quarantined.items(), key=lambda one: -one[1])
    )
    yield dg.MaterializeResult(
        asset_key="quarantine",
        data_version=files_version(lake, "quarantine"),
        metadata={
            "rows": total.refused,
            "reasons": dg.MetadataValue.md(f"| reason | rows |\n|---|---:|\n{reasons}"),
            "data_docs": dg.MetadataValue.json(pages),
        },
    )


def _facts(counts: GateCounts) -> dict[str, int]:
    return {"rows": counts.accepted, "read": counts.read, "quarantined": counts.refused}
