"""Reports with Evidently's pages: the quality of ingested data, and of recommendations."""

import dagster as dg

from tastemaker_pipelines.common import DATA_TEAM, MODEL_TEAM, readable_failures
from tastemaker_pipelines.data_versions import version_of
from tastemaker_pipelines.ingestion.assets import landed_events
from tastemaker_pipelines.log.assets import landed_feedback
from tastemaker_pipelines.resources import WorkspaceResource


@dg.asset(
    group_name="monitoring",
    deps=[landed_events, landed_feedback],  # not on the gate: what it refuses is reported, too
    kinds={"evidently", "html"},
    owners=[DATA_TEAM],
    description=(
        "Missing values, ranges, duplicates, new columns and rows a day of the newest ingested days, "
        "compared with the days before."
    ),
)
def data_quality_report(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Write the report on the rows as the source gave them."""
    from tastemaker.monitoring import data_quality

    with readable_failures():
        opened = workspace.open()
        report = data_quality.data_quality_report(
            opened.lake, opened.engine, opened.settings.reports, opened.problem.name
        )
    if report is None:
        return dg.MaterializeResult(metadata={"note": "no day was ingested yet"})
    return dg.MaterializeResult(
        data_version=version_of(report.summary),
        metadata={
            "rows": report.summary["rows"],
            "verdict": report.summary["verdict"],
            "page": dg.MetadataValue.path(str(report.path)),
        },
    )


@dg.asset(
    group_name="monitoring",
    deps=["champion"],
    kinds={"evidently", "html"},
    owners=[MODEL_TEAM],
    description=(
        "Ranking figures of the newest version of the champion's model, by our evaluator and by Evidently. "
        "Figures that differ fail this step."
    ),
)
def ranking_report(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Write the report from the lists of the version's backtest."""
    from tastemaker.workflows.ranking_report import champions_ranking_report

    with readable_failures():
        made = champions_ranking_report(workspace.open())
    if isinstance(made, str):
        return dg.MaterializeResult(metadata={"note": made})
    version, report = made
    return dg.MaterializeResult(
        data_version=version_of(version.id, report.summary),
        metadata={
            "verdict": report.summary["verdict"],
            "model": version.model,
            "version": version.id,
            "page": dg.MetadataValue.path(str(report.path)),
        },
    )
