"""Features of users and items as of given times, and the feature store that serves them."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import dagster as dg

from tastemaker.errors import GateError
from tastemaker.features.snapshot_path import Kind
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.common import DATA_TEAM, MEMORY_POOL, RETRY, readable_failures
from tastemaker_pipelines.data_versions import snapshots_version
from tastemaker_pipelines.resources import WorkspaceResource

ASSETS: Final[Mapping[Kind, str]] = {"users": "user_features", "items": "item_features"}
CHECK = "snapshot_is_sound"


@dg.multi_asset(
    name="feature_snapshots",
    group_name="features",
    specs=[
        dg.AssetSpec(
            "user_features",
            deps=["events", "items", "users", "feature_skew"],
            kinds={"ibis", "duckdb", "parquet"},
            owners=[DATA_TEAM],
            description="Recency, frequency, value, tempo and breadth of each user as of the snapshot times.",
        ),
        dg.AssetSpec(
            "item_features",
            deps=["events", "items", "feature_skew"],
            kinds={"ibis", "duckdb", "parquet"},
            owners=[DATA_TEAM],
            description="Counts, trend, price, age and co-purchase of each item as of the snapshot times.",
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset=asset,
            blocking=True,
            description=(
                "The newest snapshot has its columns, plausible values, no missing value where there must be "
                "one, each id once, and its cutoff at the end of the data. If not, nothing is made from it."
            ),
        )
        for asset in ASSETS.values()
    ],
    pool=MEMORY_POOL,
    retry_policy=RETRY,
)
def feature_snapshots(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Write snapshots as of the backtest's cutoff, the end of the data, and whole weeks before that end.

    Requests that were served since the last run are compared with the snapshots before these are replaced.
    """
    from tastemaker.features.snapshots import weekly_cuts, write_snapshots
    from tastemaker.monitoring.skew import record_cutoff

    with readable_failures():
        opened = workspace.open()
        dataset, split = opened.dataset(), opened.split()
        cuts = {split.cut, *weekly_cuts(int(dataset.events.times[0]), dataset.end, most=4)}
        rows = write_snapshots(opened.lake, opened.settings.features, cuts)
        checked = {kind: _checked(opened, kind, sorted(cuts)) for kind in ASSETS}
    for kind, (problem, noted) in checked.items():
        warning = "; ".join(noted)
        if warning:
            context.log.warning(warning)
        yield dg.MaterializeResult(
            asset_key=ASSETS[kind],
            data_version=snapshots_version(opened, kind, cuts),
            metadata={
                "rows": rows[kind],
                "snapshots": len(cuts),
                **({"warning": warning} if warning else {}),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=CHECK,
                    asset_key=ASSETS[kind],
                    passed=not problem,
                    description=problem or None,
                )
            ],
        )
    if problems := "; ".join(problem for problem, _ in checked.values() if problem):
        raise dg.Failure(description=problems, allow_retries=False)
    with readable_failures():
        record_cutoff(opened.engine, opened.settings.features, dataset.end)


def _checked(opened: Workspace, kind: Kind, cuts: Sequence[int]) -> tuple[str, tuple[str, ...]]:
    """Check the newest snapshot, and store the result beside those of the gate.

    Args:
        opened: The home folder that has the snapshots.
        kind: `users` or `items`.
        cuts: The cutoffs, ascending.

    Returns:
        What is wrong with it, empty if nothing is; and warnings.
    """
    from tastemaker.data.validation.gate import GateCounts
    from tastemaker.data.validation.gate_results import record_gate_result
    from tastemaker.features.snapshot_path import snapshot_path
    from tastemaker_expectations.snapshots import check_snapshot

    root = opened.settings.features
    earlier = snapshot_path(root, kind, cuts[-2]) if len(cuts) > 1 else None
    found = check_snapshot(kind, snapshot_path(root, kind, cuts[-1]), opened.dataset().end, earlier)
    counts = GateCounts(found.rows, found.rows, found.faults)
    refusal = None
    if found.faults:
        listed = ", ".join(f"{fault} ({rows:,} rows)" for fault, rows in found.faults.items())
        refusal = GateError(
            f"the snapshot of the {kind}' features is not sound: {listed}",
            fix="correct the feature's definition in tastemaker.features, or the column that it is made from",
        )
    record_gate_result(opened.engine, ASSETS[kind], counts, refusal)
    return "" if refusal is None else str(refusal), found.warnings


@dg.asset(
    group_name="features",
    deps=["user_features", "item_features"],
    kinds={"feast"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="Feast's registry: entities, views over the snapshots, and one feature service per model.",
)
def feature_registry(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Run `feast apply`."""
    with warnings.catch_warnings():  # importing Feast changes the filters of the whole process
        from tastemaker_features.store import apply

    with readable_failures():
        applied = apply(workspace.open().settings)
    return dg.MaterializeResult(metadata={"objects": len(applied), "names": dg.MetadataValue.json(applied)})


@dg.asset(
    group_name="features",
    deps=[feature_registry],
    kinds={"feast"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="The latest features of every user and item, in the store that prediction services read.",
)
def online_features(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Run `feast materialize` up to the end of the data."""
    with warnings.catch_warnings():
        from tastemaker_features.store import materialize

    with readable_failures():
        opened = workspace.open()
        rows = materialize(opened.settings, opened.dataset().end)
    return dg.MaterializeResult(metadata={"rows": rows, "store": opened.settings.online_store.type})
