"""How people took what each version showed them, in the problem's own rewards.

    rewarded share      Σᵤ rewarded impressions / Σᵤ impressions
    reward a request    Σᵤ reward / Σᵤ requests

Both are ratios of sums over users u, and so are their intervals: users are drawn, not impressions, for those
of one user are not independent of each other (`evaluation.bootstrap`). These figures compare what different
people were shown at different times. Which of two versions is better is for an experiment to say.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.evaluation.bootstrap import Interval, resampled_means

ENGAGEMENT = pa.schema(
    [
        pa.field("model", pa.string()),
        pa.field("version", pa.string()),
        pa.field("users", pa.int64()),
        pa.field("requests", pa.int64()),
        pa.field("impressions", pa.int64()),
        pa.field("open_impressions", pa.int64()),
        *(
            pa.field(f"{figure}{end}", pa.float64())
            for figure in ("rewarded_share", "reward_per_request")
            for end in ("", "_low", "_high")
        ),
    ]
)
"""One row a version. `open_impressions` may still earn something; `low` and `high` are a 95 % interval, NaN
where one user only was answered."""


def engagement(impressions: pa.Table) -> pa.Table:
    """ENGAGEMENT of `logs.attribution.ATTRIBUTED`, the version with most requests first."""
    rewarded = pc.greater(impressions["events"], 0).cast(pa.int64())
    is_open = pc.list_value_length(impressions["marks"]).cast(
        pa.int64()
    )  # `open` is an impression's only mark
    counted = impressions.append_column("rewarded", rewarded).append_column("is_open", is_open)
    by_user = counted.group_by(["model", "version", "user_id"]).aggregate(
        [
            ("request_id", "count_distinct"),
            ("item_id", "count"),
            ("is_open", "sum"),
            ("rewarded", "sum"),
            ("reward", "sum"),
        ]
    )
    versions = by_user.group_by(["model", "version"]).aggregate([]).to_pylist()
    rows = [
        version | _figures(by_user.filter(pc.field("version") == version["version"])) for version in versions
    ]
    rows.sort(key=lambda row: (-row["requests"], row["version"]))
    return pa.Table.from_pylist(rows, schema=ENGAGEMENT)


def _figures(by_user: pa.Table) -> dict[str, float]:
    """Of one version, from one row a user."""
    names = ("request_id_count_distinct", "item_id_count", "is_open_sum", "rewarded_sum", "reward_sum")
    columns = np.column_stack([by_user[name].to_numpy() for name in names]).astype(np.float64)
    requests, impressions, is_open, rewarded, reward = columns.sum(axis=0)
    means = resampled_means(columns)
    share = Interval.of(rewarded / impressions, means[:, 3] / means[:, 1])
    earned = Interval.of(reward / requests, means[:, 4] / means[:, 0])
    return {
        "users": len(columns),
        "requests": int(requests),
        "impressions": int(impressions),
        "open_impressions": int(is_open),
        **_named("rewarded_share", share),
        **_named("reward_per_request", earned),
    }


def _named(figure: str, interval: Interval) -> dict[str, float]:
    return {figure: interval.value, f"{figure}_low": interval.low, f"{figure}_high": interval.high}
