"""Features of users and items as of given times, and the feature store that serves them."""

import warnings
from collections.abc import Iterator

import dagster as dg

from tastemaker_pipelines.common import DATA_TEAM, RETRY, readable_failures
from tastemaker_pipelines.resources import WorkspaceResource


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
    retry_policy=RETRY,
)
def feature_snapshots(workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult[None]]:
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
        record_cutoff(opened.engine, opened.settings.features, dataset.end)
    for kind in ("users", "items"):
        yield dg.MaterializeResult(
            asset_key=f"{kind.removesuffix('s')}_features",
            metadata={"rows": rows[kind], "snapshots": len(cuts)},
        )


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
