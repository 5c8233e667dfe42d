"""How people took what they were shown: known answers, and a bootstrap written with loops."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.event_log.attribution import ATTRIBUTED
from tastemaker.product.engagement import ENGAGEMENT, engagement


def shown(user: str, request: str, earned: list[float], **other: Any) -> list[dict[str, Any]]:
    """One request's items, each with what it earned."""
    return [
        {
            "request_id": request,
            "occurred_at": datetime(2026, 3, 1, tzinfo=UTC),
            "user_id": user,
            "item_id": f"item-{position}",
            "position": position,
            "model": "random",
            "version": "v1",
            "reward": reward,
            "events": int(reward > 0),
            "flags": [],
        }
        | other
        for position, reward in enumerate(earned)
    ]


def figures(*requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [row for request in requests for row in request]
    found: list[dict[str, Any]] = engagement(pa.Table.from_pylist(rows, schema=ATTRIBUTED)).to_pylist()
    return found


def test_two_versions_and_what_each_earned() -> None:
    first, second = figures(
        shown("ann", "r1", [0.0, 2.0], flags=["open"]),
        shown("ann", "r2", [0.0, 0.0]),
        shown("bob", "r3", [1.0, 1.0, 1.0, 0.0]),
        shown("bob", "r4", [0.5], model="ials", version="v2"),
    )
    assert (first["model"], first["version"]) == ("random", "v1")
    assert {name: first[name] for name in ("users", "requests", "impressions", "open_impressions")} == {
        "users": 2, "requests": 3, "impressions": 8, "open_impressions": 2,
    }  # fmt: skip
    assert first["rewarded_share"] == 4 / 8
    assert first["reward_per_request"] == 5 / 3
    assert (second["rewarded_share"], second["reward_per_request"]) == (1, 0.5)
    assert np.isnan(second["rewarded_share_low"])
    assert np.isnan(second["reward_per_request_high"])


def test_intervals_draw_users() -> None:
    rng = np.random.default_rng(3)
    requests, per_user = [], []
    for user in range(40):
        lists = [rng.exponential(1, 5) * (rng.random(5) < 0.4) for _ in range(rng.integers(1, 6))]
        requests += [shown(f"u{user}", f"r{user}-{i}", one.tolist()) for i, one in enumerate(lists)]
        per_user.append(
            (len(lists), 5 * len(lists), sum((one > 0).sum() for one in lists), sum(map(np.sum, lists)))
        )
    (found,) = figures(*requests)
    sums = np.array(per_user, np.float64)
    drawn = np.array([sums[rng.integers(0, 40, 40)].sum(axis=0) for _ in range(20_000)])
    for name, ratio in (
        ("rewarded_share", drawn[:, 2] / drawn[:, 1]),
        ("reward_per_request", drawn[:, 3] / drawn[:, 0]),
    ):
        width = np.quantile(ratio, 0.975) - np.quantile(ratio, 0.025)
        assert found[f"{name}_low"] == pytest.approx(np.quantile(ratio, 0.025), abs=0.1 * width)
        assert found[f"{name}_high"] == pytest.approx(np.quantile(ratio, 0.975), abs=0.1 * width)


def test_nothing_shown() -> None:
    assert engagement(ATTRIBUTED.empty_table()).equals(ENGAGEMENT.empty_table())
