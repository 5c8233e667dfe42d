"""How the served recommendations do: attribution of feedback, product metrics, drift."""

from collections.abc import Iterator

import dagster as dg

from tastemaker.errors import RegistryError
from tastemaker.registry import Version
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.common import DATA_TEAM, PRODUCT_TEAM, RETRY, readable_failures
from tastemaker_pipelines.data_versions import files_version, version_of
from tastemaker_pipelines.log.assets import served_requests
from tastemaker_pipelines.monitoring.drift_check import drift_result, drift_spec
from tastemaker_pipelines.resources import WorkspaceResource


@dg.asset(
    group_name="monitoring",
    deps=[served_requests, "events"],
    kinds={"duckdb", "parquet"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description=(
        "Each impression with its propensity, position and reward by the problem's definition; and each "
        "feedback event with the impression that it is attributed to, or the flag orphan, early or late."
    ),
)
def attributed_impressions(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Write the lake's tables attributed_impressions and attributed_feedback."""
    from tastemaker.event_log.attribution import attribute

    with readable_failures():
        opened = workspace.open()
        found = attribute(opened.lake, opened.problem)
        opened.lake.write("attributed_impressions", found.impressions)
        opened.lake.write("attributed_feedback", found.feedback)
    version = files_version(opened.lake, "attributed_impressions", "attributed_feedback")
    return dg.MaterializeResult(metadata=found.summary(), data_version=version)


@dg.asset(
    group_name="monitoring",
    deps=[served_requests, "events", "items"],
    kinds={"duckdb", "parquet", "sqlite"},
    owners=[PRODUCT_TEAM],
    retry_policy=RETRY,
    description=(
        "Engagement, retention, growth and what is shown of the catalogue, by day and over trailing windows, "
        "by model version and by experiment's variant, with 95 % intervals. Only changed days are computed. "
        "Also variants in the shadow, beside what was served."
    ),
)
def product_metrics(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Write the metadata database's tables measurements and shadow_figures."""
    from tastemaker.experiments.shadows import measure_shadows

    opened = workspace.open()
    with readable_failures():
        found = opened.product_metrics.measure(
            progress=lambda what, done, total: context.log.info(f"{what}: {done} of {total}")
        )
        shadows = measure_shadows(opened.engine, opened.lake)
    days = {name: str(day) for name, day in found._asdict().items() if name.endswith("_until") and day}
    return dg.MaterializeResult(
        metadata={
            "days_computed": found.days_computed,
            "rows": found.rows,
            "windows_removed": found.windows_removed,
            "shadow_figures": len(shadows),
            **days,
        }
    )


@dg.asset(
    group_name="monitoring",
    deps=[served_requests, "events"],
    kinds={"duckdb", "sqlite"},
    owners=[PRODUCT_TEAM],
    retry_policy=RETRY,
    description=(
        "Mean reward per request of each model on the newest day and in the 28 days before, each by the "
        "events of the day after the request, with 95 % intervals. An alert compares the two."
    ),
)
def reward_figures(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Write the metadata database's table reward_figures."""
    from tastemaker.monitoring.rewards import store_reward_figures

    with readable_failures():
        opened = workspace.open()
        rows = store_reward_figures(opened.lake, opened.problem, opened.engine)
    figures = {f"{row['model']} {row['period']}": row["value"] for row in rows}
    return dg.MaterializeResult(metadata={"figures": len(rows), **figures}, data_version=version_of(figures))


@dg.asset(
    group_name="monitoring",
    deps=[served_requests, "champion"],
    kinds={"evidently", "html"},
    owners=[PRODUCT_TEAM],
    check_specs=[drift_spec()],
    description=(
        "Did something change in who comes, what is asked for, what is shown and what users choose? "
        "A page and a summary; each side is compared with its own like."
    ),
)
def drift_report(workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult[None]]:
    """Report on the version that answered most requests of the newest day, else on the champion."""
    from tastemaker.monitoring import drift
    from tastemaker.monitoring.drift_episodes import drift_since
    from tastemaker.workflows.drift_reference import ensure_drift_reference

    with readable_failures():
        opened = workspace.open()
        registry, problem = opened.registry, opened.problem
        served = drift.most_served(opened.lake)
        version = registry.get(served) if served else registry.champion(problem.name)
        version = version or _newest_baseline(opened)
        if version is None:
            note = f"nothing was served, and {problem.baseline} has no version to compare with"
            check = drift_result(problem.baseline, None, note)
            yield dg.MaterializeResult(metadata={"note": note}, check_results=[check])
            return
        columns = opened.settings.source.user_columns
        report = drift.drift_report(
            opened.lake,
            opened.engine,
            opened.settings.reports,
            version,
            ensure_drift_reference(opened.lake, registry, version, columns),
            user_columns=columns,
        )
        since = drift_since(opened.engine, problem.name, version.model)
    yield dg.MaterializeResult(
        data_version=version_of(version.id, report.summary),
        metadata={
            "requests": report.summary["requests"],
            "verdict": report.summary["verdict"],
            "model": version.model,
            "version": version.id,
            "page": dg.MetadataValue.path(str(report.path)),
        },
        check_results=[drift_result(version.model, since, report.summary["verdict"])],
    )


def _newest_baseline(opened: Workspace) -> Version | None:
    """Return the baseline's newest version, or None while it has none, such as when its fit failed."""
    problem = opened.problem
    try:
        return opened.registry.newest(problem.baseline, problem=problem.name)
    except RegistryError:
        return None
