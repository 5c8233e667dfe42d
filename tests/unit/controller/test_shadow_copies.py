"""Copies to shadow variants: after the user's answer, with its seed, booked as shadows, never too many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.control_worlds import ControlWorld, routed_plan, within
from tastemaker.controller import shadows
from tastemaker.event_log.records import seed_of
from tastemaker.experiments.assignment import Assigner, Units

USERS = [f"u{number}" for number in range(20)]
LABELS = {"experiment": "ranker", "variant": "treatment", "service": "challenger"}


async def settled(world: ControlWorld, copies: int) -> None:
    """Wait until so many copies came to their end."""
    async with asyncio.timeout(5):
        while sum(counted(world, one) for one in ("answered", "failed", "dropped")) < copies:
            await asyncio.sleep(0.01)


def counted(world: ControlWorld, outcome: str) -> float:
    return world.counted("control_shadow_requests_total", **LABELS, outcome=outcome)


def treated(folder: Path) -> list[str]:
    """The users of the shadow variant; the others get no copy."""
    assigner = Assigner(routed_plan(folder), folder)
    return [one for one in USERS if assigner.assign(Units(one), {})[0].variant == "treatment"]


def test_users_see_the_default_service_and_the_variant_gets_a_copy(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        lists = dict(zip(USERS, await world.lists(USERS), strict=True))
        assert {one["version"] for one in lists.values()} == {"v1"}
        await settled(world, len(treated(tmp_path)))
        copies = {one.unit: one for one in world.services["challenger"].asked}
        assert sorted(copies) == sorted(treated(tmp_path))
        for user, copy in copies.items():
            seen, copied = lists[user]["request_id"], copy.headers["x-request-id"]
            assert (copy.control.log, copy.control.shadow_of) == ("shadow", seen)
            assert copied != seen
            assert seed_of(copied) == seed_of(seen)
        assert all(one.control.assignment is None for one in world.services["champion"].asked)

    within(tmp_path, act, plan=routed_plan(tmp_path, kind="shadow"))


@pytest.mark.slow
def test_a_shadow_that_fails_or_hangs_costs_users_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MOST_COPIES", 2)

    async def act(world: ControlWorld) -> None:
        world.services["challenger"].delay_seconds = 10.0
        lists = await asyncio.wait_for(world.lists(USERS), 5)
        assert {one["version"] for one in lists} == {"v1"}
        await settled(world, len(treated(tmp_path)))
        assert counted(world, "failed") == 2
        assert counted(world, "dropped") == len(treated(tmp_path)) - 2

    within(tmp_path, act, plan=routed_plan(tmp_path, kind="shadow"))
