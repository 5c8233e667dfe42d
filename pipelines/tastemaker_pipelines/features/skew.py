"""Training-serving skew of logged user features."""

from collections.abc import Iterator

import dagster as dg

from tastemaker.monitoring.skew import VersionSkew, check_skew
from tastemaker_pipelines.common import DATA_TEAM
from tastemaker_pipelines.log.assets import served_requests
from tastemaker_pipelines.resources import WorkspaceResource

CHECK = "served_as_recomputed"
ASSET = "feature_skew"


@dg.asset(
    group_name="features",
    name=ASSET,
    deps=[served_requests],
    kinds={"ibis", "duckdb"},
    owners=[DATA_TEAM],
    check_specs=[
        dg.AssetCheckSpec(
            CHECK, asset=ASSET, description="No logged feature differs from the one that is computed again."
        )
    ],
    description=(
        "The user features of up to 1,000 logged requests of the last day, compared exactly with those that "
        "are computed again as of then. The snapshots of that time are replaced after this comparison."
    ),
)
def feature_skew(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Write the metadata database's table skew_checks.

    The step does not fail, since the features of the next day wait for it: its check does.
    """
    opened = workspace.open()
    try:
        found = check_skew(opened.lake, opened.settings.features, opened.engine)
    except Exception as error:
        context.log.exception("the features of logged requests could not be compared")
        yield _result(False, {"requests": 0, "warning": f"features could not be compared: {error}"})
        return
    differing: dict[str, str | int] = {
        f"{one.model} {one.version}": differences(one) for one in found if one.differences
    }
    yield _result(not differing, differing | {"requests": sum(one.requests for one in found)})


def differences(found: VersionSkew) -> str:
    """Return what differs in a version's requests, in a line."""
    counted = ", ".join(
        f"{one['feature']} ({one['reason']}, {one['values']:,} values)" for one in found.summary()["features"]
    )
    return f"{found.share:.2%} of {found.feature_values:,} values differ: {counted}"


def _result(passed: bool, metadata: dict[str, str | int]) -> dg.MaterializeResult[None]:
    check = dg.AssetCheckResult(check_name=CHECK, passed=passed, severity=dg.AssetCheckSeverity.WARN)
    return dg.MaterializeResult(metadata=metadata, check_results=[check])
