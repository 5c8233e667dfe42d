"""The gate: rows that models may learn from, and rows in quarantine with the reason."""

from collections.abc import Iterator

import dagster as dg

from tastemaker.data.validation.admission import Published
from tastemaker.data.validation.gate import GateCounts
from tastemaker.errors import GateError, TastemakerError
from tastemaker.html import index
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.assets.common import DATA_TEAM, RETRY, told
from tastemaker_pipelines.assets.ingestion import landed_events, landed_feedback, logged
from tastemaker_pipelines.resources import WorkspaceResource

CHECK = "batch_is_sound"
FIT = "problem_fits"
TABLES = {
    "events": "Who did what to which item, when, and what it was worth. Only rows that failed no rule.",
    "items": "The catalogue.",
    "users": "Who is known.",
    "quarantine": "Rows that failed a rule: the rule, and the row as it came.",
}


@dg.multi_asset(
    name="gate",
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
            CHECK,
            asset="events",
            blocking=True,
            description="The batch as a whole can be what was meant; if not, the tables stay as they were.",
        ),
        dg.AssetCheckSpec(
            FIT,
            asset="events",
            blocking=True,
            description="The problem's events, columns and test period are there; else no model can learn.",
        ),
    ],
    retry_policy=RETRY,
)
def gate(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Great Expectations judges the landed days; a batch that fails blocks everything downstream."""
    from tastemaker.data.validation.admission import validate_and_publish
    from tastemaker_expectations.gate import GreatExpectationsGate

    with told():
        opened = workspace.open()
        admitted: list[Published] = []
        pages: list[str] = []
        refusal, reports = None, opened.settings.reports.resolve()
        for source in _sources(opened):
            judge = GreatExpectationsGate(source)
            try:
                admitted.append(
                    validate_and_publish(
                        source,
                        opened.lake,
                        judge,
                        opened.engine,
                        chunk_rows=opened.settings.chunk_rows,
                        progress=logged(context),
                    )
                )
            except GateError as error:
                refusal = refusal or error
            pages += map(str, judge.write_docs(reports / "data_docs"))
        index.rewrite(reports)
    if refusal is not None:
        context.log.error(str(refusal))
        yield dg.AssetCheckResult(
            check_name=CHECK,
            asset_key="events",
            passed=False,
            metadata={"why": refusal.problem, "fix": refusal.fix},
        )
        raise dg.Failure(description=str(refusal), allow_retries=False)
    total = GateCounts()
    for each in admitted:
        total.add(each.total)
    unfit, misfits = _fit(context, opened)
    warning = "; ".join(filter(None, [misfits, *admitted[-1].warnings]))
    if warning:
        context.log.warning(warning)
    yield from _materialized(admitted[-1].tables, total, pages, warning)
    yield dg.AssetCheckResult(
        check_name=CHECK,
        asset_key="events",
        passed=True,
        metadata={"quarantined": total.refused, "accepted": total.accepted},
    )
    yield dg.AssetCheckResult(
        check_name=FIT, asset_key="events", passed=not unfit, description=unfit or "It fits."
    )
    if unfit:
        raise dg.Failure(description=unfit, allow_retries=False)


def _fit(context: dg.AssetExecutionContext, opened: Workspace) -> tuple[str, str]:
    """Why no model can learn from the data, and what of the problem nothing answers to; empty: nothing.

    It is said here, once, and not by each model's backtest; of a run without backtests it is not asked.
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
    """The shop's source, and what callers told."""
    from tastemaker.event_log.feedback_source import FEEDBACK_SOURCE

    has_feedback = opened.lake.files("landed_events", part=FEEDBACK_SOURCE)
    return [opened.source.name, *([FEEDBACK_SOURCE] if has_feedback else [])]


def _materialized(
    tables: dict[str, GateCounts], total: GateCounts, pages: list[str], warning: str
) -> Iterator[dg.MaterializeResult[None]]:
    for table, counts in {**tables, "events": total}.items():
        noted = {"warning": warning} if table == "events" and warning else {}
        yield dg.MaterializeResult(asset_key=table, metadata={**_facts(counts), **noted})
    reasons = "\n".join(
        f"| {rule} | {rows:,} |" for rule, rows in sorted(total.quarantined.items(), key=lambda one: -one[1])
    )
    yield dg.MaterializeResult(
        asset_key="quarantine",
        metadata={
            "rows": total.refused,
            "reasons": dg.MetadataValue.md(f"| reason | rows |\n|---|---:|\n{reasons}"),
            "data_docs": dg.MetadataValue.json(pages),
        },
    )


def _facts(counts: GateCounts) -> dict[str, int]:
    return {"rows": counts.accepted, "read": counts.read, "quarantined": counts.refused}
