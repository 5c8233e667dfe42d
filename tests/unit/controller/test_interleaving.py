"""Lists of two variants in one: what users get, what the record says, and when lists are not mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.control_worlds import ControlWorld, routed_plan, within
from support.scripted_service import Received, ScriptedService
from tastemaker.event_log.records import Record
from tastemaker.serving_settings import RetrievalSettings

LISTS = {"champion": "abcdef", "challenger": "dbfaec"}
"""Vector D13: P(a) and P(d) are 1/2 at places 0 and 1, P(b) 1 at place 2, P(c) and P(f) 1/2 at place 3."""
CHANCES = {"a": 0.5, "d": 0.5, "b": 1.0, "c": 0.5, "f": 0.5}
PLAIN = RetrievalSettings(new_items=False)
USERS = [f"u{number}" for number in range(30)]


def of(service: ScriptedService, items: str) -> None:
    """Have a service answer with these items."""

    def answer(request: Received) -> tuple[int, Any]:
        status, body = service.lists(request)
        scored = [{"item_id": one, "score": 1.0, "propensity": 1.0} for one in items]
        return status, body | {"items": scored} if request.method == "POST" else body

    service.answer = answer


def mixed(folder: Path, act: Any, retrieval: RetrievalSettings = PLAIN, **more: Any) -> list[Record]:
    """Run an act, and return the records that the controller wrote."""
    worlds: list[ControlWorld] = []

    async def run(world: ControlWorld) -> None:
        for name, items in LISTS.items():
            of(world.services[name], items)
        worlds.append(world)
        await act(world)

    plan = routed_plan(folder, kind="interleaving")
    within(folder, run, plan=plan, retrieval=retrieval, **more)
    return worlds[0].records()


async def ask(world: ControlWorld, **more: Any) -> list[dict[str, Any]]:
    replies = [await world.client.post("/recommend", json={"user_id": one, "k": 4} | more) for one in USERS]
    return [one.raise_for_status().json() for one in replies]


def test_the_mixed_list_and_its_record_have_exact_propensities_and_teams(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        lists.extend(await ask(world))
        booked = [one.control.log for each in world.services.values() for one in each.asked]
        assert set(booked) == {"none"}, "neither service logs"

    lists: list[dict[str, Any]] = []
    records = {one.request_id: one for one in mixed(tmp_path, act)}
    assert {item["item_id"] for one in lists for item in one["items"]} == set(CHANCES)
    for one in lists:
        items = one["items"]
        assert [item["propensity"] for item in items] == [CHANCES[item["item_id"]] for item in items]
        assert items[2]["item_id"] == "b"
        record = records[one["request_id"]]
        assert [item.item_id for item in record.items] == [item["item_id"] for item in items]
        assert record.teams is not None
        assert set(record.teams) == {"control", "treatment"}
        assert record.teams[[item["item_id"] for item in items].index("a")] == "control"
        assert (record.model, record.version) == ("scripted", "v1+v2")
        assert record.assignment is not None
        assert (record.assignment.experiment, record.assignment.served) == ("ranker", None)


def test_where_one_fails_the_other_is_served_whole_without_teams(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        world.services["challenger"].answer = lambda request: (503, {})
        for one in await ask(world):
            assert "".join(item["item_id"] for item in one["items"]) == LISTS["champion"]

    for record in mixed(tmp_path, act):
        assert record.teams is None
        assert record.assignment is not None
        assert (record.version, record.assignment.served) == ("v1", "control")


def test_where_both_fail_the_static_list_answers(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        assert {one["stage"] for one in await ask(world)} == {"static"}

    assert len(mixed(tmp_path, act, down=tuple(LISTS))) == len(USERS)


def test_a_request_for_diversity_gets_controls_whole_list(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        assert {one["version"] for one in await ask(world, diversity=0.5)} == {"v1"}
        assert {one.control.log for one in world.services["champion"].asked} == {"request"}

    within(tmp_path, act, plan=routed_plan(tmp_path, kind="interleaving"), retrieval=PLAIN)


@pytest.mark.parametrize(
    ("retrieval", "why"),
    [
        (RetrievalSettings(), "retrieval.new_items is true, must be false"),
        (RetrievalSettings(new_items=False, diversity=0.3), "retrieval.diversity is 0.3, must be 0"),
    ],
)
def test_it_does_not_run_where_a_later_step_chooses_by_neighbours(
    tmp_path: Path, retrieval: RetrievalSettings, why: str
) -> None:
    async def act(world: ControlWorld) -> None:
        assert {one["version"] for one in await ask(world)} == {"v1"}
        assert all(one.control.assignment is None for one in world.services["champion"].asked)
        degraded = (await world.client.get("/readyz")).json()["degraded"]
        assert any(one.startswith(f"plan: ranker does not run: {why}") for one in degraded)

    within(tmp_path, act, plan=routed_plan(tmp_path, kind="interleaving"), retrieval=retrieval)
