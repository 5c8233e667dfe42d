"""What was served, how people took it, and what that was beside what was learned."""

import dagster as dg

from tastemaker.errors import RegistryError
from tastemaker.registry import Version
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.assets.common import DATA_TEAM, MODEL_TEAM, PRODUCT_TEAM, RETRY, told
from tastemaker_pipelines.resources import WorkspaceResource


@dg.asset(
    group_name="monitoring",
    deps=["retention"],
    kinds={"sqlite", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="What was asked, shown and told, moved from the services' durable log into the lake.",
)
def served_requests(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Bring the logs in. While their database is away, what is in the lake already has to do."""
    from tastemaker.event_log.postgres import AwayError
    from tastemaker.event_log.shipping import collect

    with told():
        opened = workspace.open()
        try:
            drained = collect(opened.settings, opened.lake)
        except AwayError as error:
            context.log.warning(str(error))
            return dg.MaterializeResult(metadata={"away": error.problem})
    return dg.MaterializeResult(metadata=drained._asdict())


@dg.asset(
    group_name="monitoring",
    deps=[served_requests, "events"],
    kinds={"duckdb", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description=(
        "Each item shown, with its propensity, its position and what it earned by the problem's rewards; and "
        "each event told, with the showing that caused it, or the mark orphan, early or late."
    ),
)
def attributed_impressions(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """The tables attributed_impressions and attributed_feedback of the lake."""
    from tastemaker.event_log.attribution import attribute

    with told():
        opened = workspace.open()
        found = attribute(opened.lake, opened.problem)
        opened.lake.write("attributed_impressions", found.impressions)
        opened.lake.write("attributed_feedback", found.feedback)
    return dg.MaterializeResult(metadata=found.summary())


@dg.asset(
    group_name="monitoring",
    deps=[attributed_impressions],
    kinds={"parquet"},
    owners=[PRODUCT_TEAM],
    description="How people took what each version showed them: how often it was asked, what that earned.",
)
def product_metrics(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """The table product_metrics of the lake, one row a version."""
    from tastemaker.product.engagement import engagement, in_words

    with told():
        lake = workspace.open().lake
        found = engagement(lake.read("attributed_impressions"))
        lake.write("product_metrics", found)
    told_of = {f"{row['model']} {row['version']}": in_words(row) for row in found.to_pylist()}
    return dg.MaterializeResult(metadata={"versions": len(found), **told_of})


@dg.asset(
    group_name="monitoring",
    deps=[served_requests],
    kinds={"numpy"},
    owners=[MODEL_TEAM],
    description=(
        "What models that learn online have made of the live feedback: a snapshot of each version that "
        "answers requests, which its services take up."
    ),
)
def learned_states(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """One look a version. A version for which a learner follows the log already is left to that one."""
    from tastemaker.workflows.online_learning import LearnerBusy, learning_session, served_learners

    learned: dict[str, str] = {}
    with told():
        opened = workspace.open()
        for version in served_learners(opened):
            try:
                with learning_session(opened, version, wait=False) as learning:
                    learned[version.model] = f"{learning.step().position.impressions:,} impressions"
            except LearnerBusy as busy:
                context.log.info(str(busy))
                learned[version.model] = "left to the learner that follows"
    return dg.MaterializeResult(metadata={"versions": len(learned), **learned})


@dg.asset(
    group_name="monitoring",
    deps=[served_requests, "champion"],
    kinds={"evidently", "html"},
    owners=[PRODUCT_TEAM],
    description=(
        "What is served beside what was learned: distributions for people, and a summary. Nothing is judged "
        "by them, for items shown and items chosen differ in a healthy service too."
    ),
)
def drift_report(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """The version that answered most requests, or while none was served the one that would be."""
    from tastemaker.monitoring import drift
    from tastemaker.monitoring.traffic import most_served

    with told():
        opened = workspace.open()
        registry, problem = opened.registry, opened.problem
        served = most_served(opened.lake)
        version = registry.get(served) if served else registry.champion(problem.name)
        version = version or _newest_baseline(opened)
        if version is None:
            return dg.MaterializeResult(
                metadata={
                    "note": f"nothing was served, and {problem.baseline} has no version to compare with"
                }
            )
        report = drift.drift_report(opened.lake, opened.engine, opened.settings.reports, version)
    return dg.MaterializeResult(
        metadata={
            "requests": report.summary["requests"],
            "verdict": "none: distributions only",
            "model": version.model,
            "version": version.id,
            "note": report.summary["note"] or "",
            "page": dg.MetadataValue.path(str(report.path.resolve())),
        }
    )


def _newest_baseline(opened: Workspace) -> Version | None:
    """The baseline's newest version; None while it has none, such as when it failed."""
    problem = opened.problem
    try:
        return opened.registry.newest(problem.baseline, problem=problem.name)
    except RegistryError:
        return None
