"""What is known of users and items at a moment, and the feature store that hands it out."""

import warnings
from collections.abc import Iterator

import dagster as dg

from tastemaker_pipelines.assets.common import DATA_TEAM, RETRY, told
from tastemaker_pipelines.resources import WorkspaceResource


@dg.multi_asset(
    name="feature_snapshots",
    group_name="features",
    specs=[
        dg.AssetSpec(
            "user_features",
            deps=["events", "items", "users"],
            kinds={"ibis", "duckdb", "parquet"},
            owners=[DATA_TEAM],
            description="Recency, frequency, value, tempo and breadth of each user at moments that count.",
        ),
        dg.AssetSpec(
            "item_features",
            deps=["events", "items"],
            kinds={"ibis", "duckdb", "parquet"},
            owners=[DATA_TEAM],
            description="Counts, trend, price, age and co-purchase of each item at the moments that count.",
        ),
    ],
    retry_policy=RETRY,
)
def feature_snapshots(workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult[None]]:
    """Snapshots at the backtest's cut, now, and whole weeks before now."""
    from tastemaker.features.snapshots import weekly_cuts, write_snapshots

    with told():
        opened = workspace.open()
        dataset, split = opened.dataset(), opened.split()
        cuts = {split.cut, *weekly_cuts(int(dataset.events.times[0]), dataset.end, most=4)}
        rows = write_snapshots(opened.lake, opened.settings.features, cuts)
    for kind in ("users", "items"):
        yield dg.MaterializeResult(
            asset_key=f"{kind.removesuffix('s')}_features",
            metadata={"rows": rows[kind], "moments": len(cuts)},
        )


@dg.asset(
    group_name="features",
    deps=["user_features", "item_features"],
    kinds={"feast"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="What Feast knows: entities, views over the snapshots, and a feature service a model.",
)
def feature_registry(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """`feast apply`."""
    with warnings.catch_warnings():  # importing Feast changes the filters for everyone
        from tastemaker_features.store import apply

    with told():
        applied = apply(workspace.open().settings)
    return dg.MaterializeResult(metadata={"objects": len(applied), "names": dg.MetadataValue.json(applied)})


@dg.asset(
    group_name="features",
    deps=[feature_registry],
    kinds={"feast"},
    owners=[DATA_TEAM],
    retry_policy=RETRY,
    description="The latest features of every user and item, where a prediction service looks them up.",
)
def online_features(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """`feast materialize` up to the end of the data."""
    with warnings.catch_warnings():
        from tastemaker_features.store import materialize

    with told():
        opened = workspace.open()
        rows = materialize(opened.settings, opened.dataset().end)
    return dg.MaterializeResult(metadata={"rows": rows, "store": opened.settings.online_store.type})
