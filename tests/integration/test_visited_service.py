"""The simulated shop's people visit a real service: everything they do arrives, new items reach them."""

from __future__ import annotations

import time
from itertools import cycle
from pathlib import Path

import pytest

from support import shop_homes, visited_service
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import read_feedback
from tastemaker.simulator.traffic.fault_injection import FAULTS
from tastemaker.simulator.traffic.log_audit import verdict

pytestmark = pytest.mark.servers

NEW = {"item_id": "brand new", "title": "green tea", "category": "Coffee & Tea", "price": 4.5}


def test_every_kind_of_visit_arrives_in_the_log_as_it_was(tmp_path: Path) -> None:
    """Members, anonymous people and programs; drift, launched items, and every fault that loses nothing."""
    home = tmp_path / "home"
    version = shop_homes.make_shop_home(home)["popularity"]
    words = ["--anonymous", "0.3", "--bots", "0.1", "--drift", "0.1", "--new-items", "--rate", "60"]
    for name in set(FAULTS) - {"traffic_gone", "feedback_gone", "foreign_host"}:
        words += ["--fault", f"{name}=0.1"]
    with (
        visited_service.served(home, version) as service,
        visited_service.visiting(home, service, *words) as visits,
    ):
        visits.proceed(60)
        summary = visits.end()
    assert {"/recommend", "/session", "/feedback"} <= summary["statuses"].keys()
    assert summary["failed"] == summary["events_abandoned"] == 0
    assert all(statuses.keys() == {"200"} for statuses in summary["statuses"].values())
    found = verdict(shop_homes.settings(home), visits.client_log)
    assert found.sound
    assert found.acknowledged == summary["events_acknowledged"]
    events = read_feedback(Lake(home / "lake"))
    assert {"impression", "view"} <= set(events["event_type"].to_pylist())
    assert events["user_id"].null_count > 0, "anonymous people are known by their request"
    assert events["request_id"].null_count > 0, "orphans are known by their user"


def test_a_new_item_is_shown_within_a_minute_and_a_withdrawn_one_is_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    version = shop_homes.make_shop_home(home)["popularity"]
    people = cycle([f"u{number:07d}" for number in range(40)])
    with visited_service.served(home, version) as service:
        assert service.post("/items", {"items": [NEW]}).status_code == 200
        start = time.monotonic()
        visited_service.until(
            lambda: NEW["item_id"] in _shown(service, next(people)), "it is never shown", 60
        )
        assert time.monotonic() - start < 60
        assert service.post("/items", {"items": [{**NEW, "available": False}]}).status_code == 200
        visited_service.until(
            lambda: all(NEW["item_id"] not in _shown(service, next(people)) for _ in range(40)), "", 60
        )


def _shown(service: visited_service.Service, user_id: str) -> set[object]:
    return {item["item_id"] for item in service.recommend(user_id)["items"]}
