"""A variant whose service fails loses its traffic to control, in all processes, and control never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.control_worlds import ControlWorld, routed_plan, within
from support.scripted_service import Received
from tastemaker.controller import controlled_service
from tastemaker.experiments import tripped
from tastemaker.experiments.plan import BUCKETS, EarlierEpoch
from tastemaker.experiments.tripped import TripFiles

USERS = [f"u{number}" for number in range(40)]
LABELS = {"experiment": "ranker", "variant": "treatment"}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tripped, "LOOK_SECONDS", 0.0)


def lost(world: ControlWorld) -> list[str]:
    """The variants that lost their traffic, as another process sees them."""
    found = TripFiles(world.home / "experiments").current()
    return sorted(name for one in found.values() for name in one.trips)


def unavailable(request: Received) -> tuple[int, object]:
    return 503, {"title": "down"}


def fallback(request: Received) -> tuple[int, object]:
    answer = {"request_id": "1", "model": "scripted", "version": "v2", "items": []}
    return 200, answer | {"fallback": "model_timeout", "stage": "popular"}


def test_a_service_that_can_not_be_reached_loses_its_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(world: ControlWorld) -> None:
        world.services["challenger"].answer = unavailable
        await world.worker.look()
        assert lost(world) == [], "only once it has not answered for a while"
        monkeypatch.setattr(controlled_service, "UNREACHABLE_SECONDS", 0.0)
        await world.worker.look()
        assert lost(world) == ["treatment"]
        world.services["challenger"].answer = world.services["challenger"].lists
        await world.worker.look()
        assert {one["version"] for one in await world.lists(USERS)} == {"v1"}, "until a person acts"
        assert world.counted("control_misses_total", **LABELS, service="challenger", reason="tripped") > 0
        assert world.counted("control_tripped", **LABELS) == 1
        (one,) = (await world.client.get("/readyz")).json()["experiments"]
        assert one["tripped"] == ["treatment"]

    within(tmp_path, act)


def test_more_than_half_fallbacks_among_the_last_answers_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controlled_service, "WINDOW", 10)

    async def act(world: ControlWorld) -> None:
        world.services["challenger"].answer = fallback
        await world.lists(USERS[:4])
        await world.worker.look()
        assert lost(world) == [], "too few answers"
        await world.lists(USERS)
        await world.worker.look()
        assert lost(world) == ["treatment"]

    within(tmp_path, act)


def test_where_control_fails_too_no_variant_is_tripped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controlled_service, "UNREACHABLE_SECONDS", 0.0)

    async def act(world: ControlWorld) -> None:
        for one in world.services.values():
            one.answer = unavailable
        await world.worker.look()
        assert lost(world) == []

    within(tmp_path, act)


def test_units_of_a_bandits_earlier_epoch_lose_the_variant_too(tmp_path: Path) -> None:
    halves = {"control": (0, BUCKETS // 2), "treatment": (BUCKETS // 2, BUCKETS)}
    earlier = (EarlierEpoch(0, 999_999, halves),)

    async def act(world: ControlWorld) -> None:
        assert {one["version"] for one in await world.lists(USERS)} == {"v1", "v2"}
        world.worker.trips.add("ranker", 1, "treatment", tripped.Trip("challenger", "it did not answer", 0.0))
        assert {one["version"] for one in await world.lists(USERS)} == {"v1"}

    within(tmp_path, act, plan=routed_plan(tmp_path, kind="bandit", epoch=1, earlier=earlier))


def test_a_new_epoch_has_its_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(world: ControlWorld) -> None:
        tripped_at = tripped.Trip("challenger", "it did not answer", 0.0)
        world.worker.trips.add("ranker", 0, "treatment", tripped_at)
        assert {one["version"] for one in await world.lists(USERS)} == {"v1", "v2"}

    within(tmp_path, act, plan=routed_plan(tmp_path, epoch=1))
