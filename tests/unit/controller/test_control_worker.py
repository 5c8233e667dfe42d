"""Each unit gets the list of its variant's service, else control's, else the static one; all is logged."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from support.control_worlds import STATIC, VERSIONS, ControlWorld, changed, routed_plan, within
from tastemaker.experiments import plan_file
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.plan_file import EMPTY_PLAN, write_plan

USERS = [f"u{number}" for number in range(40)]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_file, "LOOK_SECONDS", 0.0)


def variants(folder: Path, users: list[str] = USERS) -> list[str]:
    """What the plan assigns."""
    assigner = Assigner(routed_plan(folder), folder)
    return [assigner.assign(Units(one), {})[0].variant for one in users]


def service(variant: str) -> str:
    return {"control": "champion", "treatment": "challenger"}[variant]


def test_each_user_gets_the_service_of_the_variant_and_the_record_is_complete(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        expected = [VERSIONS[service(one)] for one in variants(tmp_path)]
        assert [one["version"] for one in await world.lists(USERS)] == expected
        assert set(expected) == {"v1", "v2"}
        routes = world.worker.routes
        assert routes.digest is not None
        for name, scripted in world.services.items():
            for asked in scripted.asked:
                assignment = asked.assignment
                assert service(assignment.variant) == name
                assert assignment.served == assignment.variant
                assert (assignment.experiment, assignment.epoch) == ("ranker", 0)
                assert (assignment.probability, assignment.plan) == (0.5, routes.digest[:16])
                assert assignment.unit == json.loads(asked.body)["user_id"]
        assert world.counted(
            "control_answers_total", experiment="ranker", variant="treatment", service="challenger"
        ) == expected.count("v2")

    within(tmp_path, act)


def test_a_variant_that_fails_is_answered_by_control_under_a_new_id_and_booked_as_assigned(
    tmp_path: Path,
) -> None:
    async def act(world: ControlWorld) -> None:
        champion, challenger = world.services["champion"], world.services["challenger"]
        challenger.answer = lambda request: (503, {"title": "down"})
        lists = await world.lists(USERS)
        assert {one["version"] for one in lists} == {"v1"}
        treated = [one for one in champion.asked if one.assignment.variant == "treatment"]
        assert len(treated) == variants(tmp_path).count("treatment")
        assert {one.assignment.served for one in treated} == {"control"}
        first = {one.headers["x-request-id"] for one in challenger.asked}
        assert first.isdisjoint(one.headers["x-request-id"] for one in treated)
        missed = {"experiment": "ranker", "variant": "treatment", "service": "challenger"}
        assert world.counted("control_misses_total", **missed, reason="refused") == len(treated)

    within(tmp_path, act)


def test_without_any_service_the_static_list_answers_and_the_controller_writes_the_record(
    tmp_path: Path,
) -> None:
    async def act(world: ControlWorld) -> None:
        for one in await world.lists(USERS):
            assert [item["item_id"] for item in one["items"]] == [STATIC[0]]
            assert (one["stage"], one["fallback"], one["version"]) == ("static", "no_service", "none")
        worlds.append(world)

    worlds: list[ControlWorld] = []
    within(tmp_path, act, down=tuple(VERSIONS))
    records = {one.user_id: one for one in worlds[0].records()}
    for user, variant in zip(USERS, variants(tmp_path), strict=True):
        assignment = records[user].assignment
        assert assignment is not None
        assert (assignment.variant, assignment.served, assignment.unit) == (variant, None, user)


def test_users_outside_the_experiment_get_the_default_service_without_an_assignment(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        assert {one["version"] for one in await world.lists(USERS)} == {"v1"}
        assert all(one.control.assignment is None for one in world.services["champion"].asked)

    within(tmp_path, act, plan=changed(routed_plan(tmp_path), enrolment=0))


def test_an_answer_that_can_not_be_read_is_not_an_answer(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        world.services["challenger"].answer = lambda request: (200, {"hello": "world"})
        assert {one["version"] for one in await world.lists(USERS)} == {"v1"}

    within(tmp_path, act)


def test_a_request_on_its_way_is_answered_though_its_service_leaves_the_plan(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        world.services["challenger"].delay_seconds = 0.1
        asked = asyncio.create_task(world.lists(USERS))
        await asyncio.sleep(0.05)
        plan = routed_plan(tmp_path)
        alone = msgspec.structs.replace(plan, services=plan.services[:1], experiments=())
        write_plan(world.home / "experiments" / "plan.json", alone)
        assert (await world.client.get("/readyz")).json()["experiments"] == []
        assert {one["version"] for one in await asked} == {"v1", "v2"}

    within(tmp_path, act)


def test_a_killed_experiment_ends_with_the_next_request(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        await world.lists(USERS)
        write_plan(world.home / "experiments" / "plan.json", changed(routed_plan(tmp_path), killed=True))
        asked = len(world.services["challenger"].asked)
        assert {one["version"] for one in await world.lists(USERS)} == {"v1"}
        assert len(world.services["challenger"].asked) == asked

    within(tmp_path, act)


def test_half_a_plan_leaves_the_last_good_one_in_force_and_is_named(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        path = world.home / "experiments" / "plan.json"
        path.write_bytes(path.read_bytes()[:100])
        assert {one["version"] for one in await world.lists(USERS)} == {"v1", "v2"}
        ready = (await world.client.get("/readyz")).json()
        assert ready["plan"] == world.worker.routes.digest
        assert any(one.startswith("plan: the last good plan") for one in ready["degraded"])

    within(tmp_path, act)


def test_another_version_than_the_plans_is_counted_and_shown(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        world.services["challenger"].version = "v3"
        lists = await world.lists(USERS)
        wrong = [one for one in lists if one["version"] == "v3"]
        labels = {"experiment": "ranker", "variant": "treatment", "service": "challenger"}
        assert world.counted("control_wrong_versions_total", **labels) == len(wrong) > 0
        ready = (await world.client.get("/readyz")).json()
        assert {one["name"]: one.get("answers_with") for one in ready["services"]} == {
            "champion": None,
            "challenger": "v3",
        }
        assert "services: challenger answers with version v3" in ready["degraded"]

    within(tmp_path, act)


def test_a_batch_is_split_by_variant_and_merged_in_order(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        reply = await world.client.post(
            "/recommend/batch", json={"requests": [{"user_id": one} for one in USERS]}
        )
        versions = [one["version"] for one in reply.json()["answers"]]
        assert versions == [VERSIONS[service(one)] for one in variants(tmp_path)]
        ids = [one["request_id"] for one in reply.json()["answers"]]
        assert len(set(ids)) == len(USERS)

    within(tmp_path, act)


def test_the_refusal_of_a_service_reaches_the_caller(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        for one in world.services.values():
            one.answer = lambda request: (404, {"title": "Not Found"})
        reply = await world.client.get("/similar/none", params={"user_id": "u1"})
        assert (reply.status_code, reply.json()["title"]) == (404, "Not Found")

    within(tmp_path, act)


def test_an_explanation_comes_from_the_service_that_has_it(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        world.services["champion"].answer = lambda request: (404, {"title": "Not Found"})
        world.services["challenger"].answer = lambda request: (200, {"explains": request.target})
        reply = await world.client.get("/explain/0123")
        assert reply.json() == {"explains": "/explain/0123"}

    within(tmp_path, act)


def test_the_plan_is_answered_as_it_is_in_its_file(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        reply = await world.client.get("/experiments/plan")
        assert reply.content == (world.home / "experiments" / "plan.json").read_bytes()
        assert reply.headers["etag"] == f'"{world.worker.routes.digest}"'

    within(tmp_path, act)


def test_feedback_is_acknowledged_by_the_controller_itself(tmp_path: Path) -> None:
    event = {"event_id": "e1", "event_type": "click", "item_id": "item-0", "user_id": "u1"}

    async def act(world: ControlWorld) -> None:
        reply = await world.client.post("/feedback", json={"events": [event]})
        assert reply.json() == {"accepted": 1, "duplicates": 0}
        assert not any(one.asked for one in world.services.values())

    within(tmp_path, act)


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/metrics", "/livez"])
def test_what_every_service_has_the_controller_has_too(tmp_path: Path, path: str) -> None:
    async def act(world: ControlWorld) -> None:
        assert (await world.client.get(path)).status_code == 200

    within(tmp_path, act)


def test_without_a_default_service_it_is_not_ready(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        assert (await world.client.get("/readyz")).status_code == 503
        assert "no default service" in (await world.client.get("/")).text

    within(tmp_path, act, plan=EMPTY_PLAN)


def test_a_plan_that_is_removed_leaves_the_default_service_to_all_users(tmp_path: Path) -> None:
    async def act(world: ControlWorld) -> None:
        (world.home / "experiments" / "plan.json").unlink()
        assert {one["version"] for one in await world.lists(USERS)} == {VERSIONS["champion"]}
        assert (await world.client.get("/readyz")).status_code == 200
        assert (await world.client.get("/experiments/plan")).status_code == 404

    within(tmp_path, act)
