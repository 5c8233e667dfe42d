"""Which event is credited to which showing, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, REQUESTS
from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.platform_log.impressions import RequestLog, read_requests
from tastemaker.problem import EventReward, Objective, ProblemSpec

pytestmark = pytest.mark.slow
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROBLEM = ProblemSpec(
    name="shop",
    objectives=(
        Objective(
            name="money", share=0.75, events={"purchase": EventReward(by_value=True, half_life_days=1)}
        ),
        Objective(name="interest", share=0.25, events={"click": EventReward(weight=2, window_days=1)}),
    ),
)


def request(name: str, *, hours: float = 0, user: str = "ann", **other: Any) -> dict[str, Any]:
    """Tea at the top, then a cup."""
    row = {
        "request_id": name,
        "occurred_at": NOON + timedelta(hours=hours),
        "user_id": user,
        "k": 2,
        "model": "random",
        "version": "v1",
        "item_ids": ["tea", "cup"],
        "scores": [1.0, 0.0],
        "propensities": [0.5, 0.25],
        "latency_ms": 1.0,
    }
    return row | other


def event(kind: str, item: str, hours: float, *, of: str | None = None, **other: Any) -> dict[str, Any]:
    """By Ann, worth 8."""
    row = {"event_id": f"{kind}-{item}-{hours}-{of}", "user_id": "ann", "item_id": item, "event_type": kind}
    return row | {"value": 8.0, "occurred_at": NOON + timedelta(hours=hours), "request_id": of} | other


LATER = event("click", "other", 24 * 30, user_id="late")
"""So that every window is closed."""


def read(
    folder: Path,
    requests: list[dict[str, Any]],
    events: list[dict[str, Any]],
    *,
    since: int = 0,
    versions: frozenset[str] = frozenset({"v1"}),
) -> RequestLog:
    """Through a lake."""
    lake = Lake(folder)
    lake.write_day("requests", NOON.date(), pa.Table.from_pylist(requests, schema=REQUESTS))
    lake.write_day("events", NOON.date(), pa.Table.from_pylist([*events, LATER], schema=EVENTS))
    return read_requests(lake, PROBLEM, since=since, versions=versions)


@pytest.mark.parametrize(
    ("events", "rewards"),
    [
        ([], [0, 0, 0, 0]),
        ([event("click", "tea", 1, of="a")], [0.5, 0, 0, 0]),
        ([event("click", "tea", 5, of="a")], [0.5, 0, 0, 0]),  # shown again at 4, but it says which
        ([event("click", "tea", 5)], [0, 0, 0.5, 0]),  # the last showing
        ([event("click", "cup", 1)], [0, 0.5, 0, 0]),
        ([event("click", "cup", -1)], [0, 0, 0, 0]),  # before it was shown
        ([event("click", "cup", -1, of="a")], [0, 0, 0, 0]),
        ([event("click", "tea", 1, of="b")], [0, 0, 0, 0]),  # b was at 4
        ([event("click", "pot", 1, of="a")], [0, 0, 0, 0]),  # was not shown
        ([event("click", "tea", 1, user_id="bob")], [0, 0, 0, 0]),
        ([event("click", "tea", 4 + 24)], [0, 0, 0.5, 0]),
        ([event("click", "tea", 4 + 25)], [0, 0, 0, 0]),  # beyond a click's window
        ([event("purchase", "tea", 24, of="a")], [3, 0, 0, 0]),  # 0.75 · 8, halved
        ([event("view", "tea", 1, of="a")], [0, 0, 0, 0]),  # not rewarded
        ([event("click", "tea", 1), event("click", "tea", 2)], [1, 0, 0, 0]),
        ([event("click", "tea", 5, of="nothing")], [0, 0, 0, 0]),
    ],
)
def test_credit(tmp_path: Path, events: list[dict[str, Any]], rewards: list[float]) -> None:
    found = read(tmp_path, [request("a"), request("b", hours=4)], events)
    assert found.log.rewards.tolist() == rewards
    assert found.log.rounds.tolist() == [0, 0, 1, 1]
    assert found.log.positions.tolist() == [0, 1, 0, 1]
    assert found.log.propensities.tolist() == [0.5, 0.25, 0.5, 0.25]
    assert found.item_ids == ["tea", "cup"] * 2


def test_requests_whose_purchases_may_still_come_are_left_out(tmp_path: Path) -> None:
    """Clicks came until day 30, purchases until their batch of day 29."""
    window = PROBLEM.objectives[0].events["purchase"].window_days
    last = 24 * (29 - window)
    purchases = [event("purchase", "other", 24 * 29 - hours, user_id="late") for hours in (0, 1)]
    found = read(tmp_path, [request("a", hours=last), request("b", hours=last + 1)], purchases)
    assert found.requests["request_id"].to_pylist() == ["a"]
    assert found.left_out == {"so recent that events may still be attributed to them": 1}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"version": "v2"}, "answered by a version of another problem"),
        ({"hours": -100}, "the end of a training window"),
        ({"hours": 24 * 29}, "events may still be attributed"),
        ({"fallback": "model_error"}, "with help of the fallback list"),
        ({"version": "v3", "propensities": [1.0, 1.0]}, "deterministic versions"),
        ({"propensities": [0.5, 0.0]}, r"outside \(0, 1\]"),
        ({"item_ids": [], "scores": [], "propensities": []}, "or with no item"),
    ],
)
def test_requests_that_do_not_count_are_reported(tmp_path: Path, wrong: dict[str, Any], reason: str) -> None:
    since = int(NOON.timestamp()) - 3600
    known = frozenset({"v1", "v3"})
    found = read(tmp_path, [request("a"), request("b", **wrong)], [], since=since, versions=known)
    assert found.requests["request_id"].to_pylist() == ["a"]
    assert list(found.left_out.values()) == [1]
    with pytest.raises(OffPolicyError, match=reason):
        read(tmp_path, [request("b", **wrong)], [], since=since, versions=known)


def test_without_events_nothing_can_be_said(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_day("requests", NOON.date(), pa.Table.from_pylist([request("a")], schema=REQUESTS))
    with pytest.raises(OffPolicyError, match="there is no event of a type that 'shop' rewards"):
        read_requests(lake, PROBLEM, since=0, versions={"v1"})
