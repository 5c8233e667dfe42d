"""Engagement with the items that each version showed, in the problem's rewards.

    rewarded share        Σᵤ rewarded impressions / Σᵤ impressions
    reward per request    Σᵤ reward / Σᵤ requests

Both are ratios of sums over users u, with bootstrap intervals over users, because the impressions of one user
are not independent of each other (`stats.bootstrap`). Versions were shown to different users at different
times: only an experiment shows which of two versions is better.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.stats.bootstrap import Float64, Interval, resampled_means
from tastemaker.stats.confidence import MIN_VARIED, NONE, varied, why_none

ENGAGEMENT = pa.schema(
    [
        pa.field("model", pa.string()),
        pa.field("version", pa.string()),
        pa.field("users", pa.int64(), metadata={"description": "users who were answered"}),
        pa.field("requests", pa.int64(), metadata={"description": "requests that were answered"}),
        pa.field("impressions", pa.int64(), metadata={"description": "items shown"}),
        pa.field(
            "open_impressions",
            pa.int64(),
            metadata={"description": "impressions that may still earn a reward"},
        ),
        *(
            pa.field(f"{figure}{end}", pa.float64(), metadata={"description": meaning + bound})
            for figure, meaning in (
                ("rewarded_share", "share of impressions that earned a reward"),
                ("reward_per_request", "mean reward per request"),
            )
            for end, bound in (
                ("", ""),
                ("_low", ": lower end of the 95 % interval"),
                ("_high", ": upper end of the 95 % interval"),
            )
        ),
    ]
)
"""One row per version. `open_impressions` are those whose attribution window is not over; `low` and `high`
are a 95 % interval, NaN with fewer than 20 users, or with fewer than 10 users that have a reward."""


def engagement(impressions: pa.Table) -> pa.Table:
    """Return ENGAGEMENT from `event_log.attribution.ATTRIBUTED`, the version with most requests first."""
    rewarded = pc.greater(impressions["events"], 0).cast(pa.int64())
    is_open = pc.list_value_length(impressions["flags"]).cast(
        pa.int64()
    )  # `open` is the only flag of an impression
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


def in_words(row: dict[str, Any]) -> str:
    """Return a row of ENGAGEMENT in words.

    Such as `900 shown, 5.00% rewarded (4.10% to 6.00%), reward 0.25 per request (0.20 to 0.30)`.
    """
    share = _span(row, "rewarded_share", ".2%")
    earned = _span(row, "reward_per_request", ".3g")
    return f"{row['impressions']:,} shown, {share} rewarded, reward {earned} per request"


def _span(row: dict[str, Any], figure: str, form: str) -> str:
    low, high = row[f"{figure}_low"], row[f"{figure}_high"]
    between = f"{low:{form}} to {high:{form}}" if isfinite(low) else why_none(row["users"])
    return f"{row[figure]:{form}} ({between})"


def _figures(by_user: pa.Table) -> dict[str, float]:
    """Metrics of one version, from one row per user."""
    names = ("request_id_count_distinct", "item_id_count", "is_open_sum", "rewarded_sum", "reward_sum")
    columns = np.column_stack([by_user[name].to_numpy() for name in names]).astype(np.float64)
    requests, impressions, is_open = columns[:, :3].sum(axis=0)
    means = resampled_means(columns)
    share = _ratio(columns[:, 3], columns[:, 1], means[:, 3] / means[:, 1])
    earned = _ratio(columns[:, 4], columns[:, 0], means[:, 4] / means[:, 0])
    return {
        "users": len(columns),
        "requests": int(requests),
        "impressions": int(impressions),
        "open_impressions": int(is_open),
        **_named("rewarded_share", share),
        **_named("reward_per_request", earned),
    }


def _ratio(over: Float64, under: Float64, drawn: Float64) -> Interval:
    """Return Σ over / Σ under, both float64[users], with its interval from float64[resamples] ratios.

    There is no interval with fewer than MIN_VARIED users that have a reward: the contributions of users
    without one differ, too, so that the interval's own check of varied values does not apply.
    """
    value = float(over.sum() / under.sum())
    found = Interval.of(value, drawn, value + (over - value * under) / under.mean())
    earning = varied(over)
    ends = found[1:] if earning >= MIN_VARIED else NONE
    return Interval(value, *ends, len(over), earning)


def _named(figure: str, interval: Interval) -> dict[str, float]:
    return {figure: interval.value, f"{figure}_low": interval.low, f"{figure}_high": interval.high}
