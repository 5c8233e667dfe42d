"""The guard on a home: a bad variant is rolled back, faults of data and databases are not evidence."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from support.guarded_worlds import HOUR, World, last_change
from support.request_logs import fill
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import drain
from tastemaker.event_log.spool_file import FILE_NAME
from tastemaker.experiments.guardrails import guard as guarding
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.guardrails.checks import RewardUnits
from tastemaker.experiments.guardrails.guard import REWARD_SECONDS, GuardReport
from tastemaker.experiments.lifecycle.kills import PLAN
from tastemaker.experiments.plan_file import decode_plan
from tastemaker.experiments.tripped import Trip, TripFiles
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/metadata.db")
    yield engine
    engine.dispose()


@pytest.fixture
def home(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make(engine, tmp_path, monkeypatch)


@pytest.fixture
def world(home: ExperimentHome, tmp_path: Path) -> Iterator[World]:
    home.running(planned_units=10_000, window_days=1.0, claim=500_000)
    with closing(AssignedRequests(Settings(home=tmp_path))) as requests:
        yield World(home, tmp_path, requests)


def verdicts(report: GuardReport) -> dict[str, str]:
    return {one.guardrail: one.found.verdict for one in report.checks}


def test_a_variant_that_answers_by_fallbacks_is_rolled_back_at_the_second_check(world: World) -> None:
    world.serve(b=0.3)
    first = world.check()
    assert verdicts(first)["fallback_share"] == "harm"
    assert (world.state, first.decision) == ("running", None)
    second = world.check()
    assert world.state == "rolled_back"
    assert last_change(world) == ("guardrail:fallback_share", "roll_back")
    assert second.decision is not None
    assert second.refusal is None
    acted = [row for row in world.stored() if row.action != "none"]
    assert [(row.guardrail, row.verdict, row.action) for row in acted] == [
        ("fallback_share", "harm", "roll_back")
    ]
    assert acted[0].low > 0
    evidence = world.home.experiments.history("ranker-2")[-1].evidence
    assert evidence["units"] == 400
    assert not world.guard.check()


def test_fewer_clickers_are_rolled_back_after_two_checks_of_users(world: World) -> None:
    world.serve()
    world.users.shares = {"a": 0.30, "b": 0.24}
    assert verdicts(world.check())["reward_per_user"] == "harm"
    assert world.check().decision is None  # a minute later nothing new is known of users
    world.check(after=REWARD_SECONDS)
    assert last_change(world) == ("guardrail:reward_per_user", "roll_back")


def test_a_healthy_variant_is_left_alone(world: World) -> None:
    for _ in range(5):
        world.serve(a=0.01, b=0.01)
        assert world.check().decision is None
    assert world.state == "running"
    assert {row.action for row in world.stored()} == {"none"}


def test_harm_that_ends_is_not_the_first_of_two(world: World) -> None:
    world.serve(b=0.3)
    world.check()
    (world.settings.spool / FILE_NAME).rename(world.settings.spool / "away")
    (world.settings.spool / FILE_NAME).write_bytes(b"no database" * 1_000)
    assert verdicts(world.check())["fallback_share"] == "stale"
    (world.settings.spool / "away").rename(world.settings.spool / FILE_NAME)
    assert verdicts(world.check())["fallback_share"] == "harm"
    assert world.state == "running"


def test_without_traffic_verdicts_are_stale_and_nothing_is_done(world: World) -> None:
    report = world.check()
    serving = {name: verdict for name, verdict in verdicts(report).items() if name != "reward_per_user"}
    assert set(serving.values()) == {"stale"}
    assert {row.value for row in world.stored() if row.verdict == "stale"} == {None}
    world.serve(b=0.3)
    world.check()
    old = world.check(after=HOUR)
    assert verdicts(old)["fallback_share"] == "stale"
    assert world.state == "running"


def test_figures_that_are_not_numbers_are_stale(world: World) -> None:
    world.serve()
    world.users.failure = "the column 'reward' has values that are not finite numbers"
    assert verdicts(world.check())["reward_per_user"] == "stale"
    world.users.failure, world.users.is_stale = "", True
    assert verdicts(world.check(after=REWARD_SECONDS))["reward_per_user"] == "stale"


def test_units_that_are_not_divided_as_planned_hold(world: World) -> None:
    world.serve()
    lists = [
        world._list(world.home.experiments.get("ranker-2"), "a", world.home.champion.id, False, 1.0)
        for _ in range(600)
    ]
    fill(world.settings.spool, lists)
    report = world.check()
    assert verdicts(report)["sample_ratio"] == "harm"
    assert world.state == "holding"
    assert last_change(world) == ("guardrail:sample_ratio", "hold")


def test_faults_in_both_variants_hold_and_roll_nothing_back(world: World) -> None:
    world.serve(a=0.4, b=0.9)
    for _ in range(3):
        world.check()
    assert world.state == "holding"
    assert last_change(world) == ("guardrail:incident", "hold")


def test_a_person_that_resumes_has_the_last_word(world: World) -> None:
    world.serve(a=0.4, b=0.4)
    world.check()
    assert world.state == "holding"
    world.home.do("ranker-2", "resume")
    for _ in range(3):
        world.check()
    assert world.state == "running"
    assert last_change(world) == (experiment_homes.PERSON, "resume")


def test_a_change_by_a_person_in_between_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.serve(b=0.3)
    world.check()
    history = world.home.experiments.history

    def history_and_a_person(name: str) -> Any:
        found = history(name)
        world.home.do(name, "hold")
        return found

    monkeypatch.setattr(world.home.experiments, "history", history_and_a_person)
    report = world.check()
    assert report.refusal is not None
    assert "changed in the meantime: hold by ada" in report.refusal
    assert world.state == "holding"
    monkeypatch.undo()
    assert world.check().decision is None  # after a change harm has to be found twice again
    world.check()
    assert world.state == "rolled_back"


def test_a_new_epoch_begins_without_the_units_of_the_old_one(world: World) -> None:
    world.serve(b=0.3)
    world.check()
    world.check()
    world.home.do("ranker-2", "new_epoch")
    report = world.check()
    assert report.epoch == 1
    assert verdicts(report)["fallback_share"] == "stale"
    assert world.state == "running"


def test_a_new_epoch_counts_what_was_drained_while_it_was_opened(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_and_read(since: float) -> None:
        monkeypatch.undo()
        world.home.do("ranker-2", "new_epoch")
        world.serve(ago=-65.0)
        drain(world.settings.spool, Lake(world.settings.lake))
        world.requests.read(since)

    world.check()
    monkeypatch.setattr(world.requests, "read", open_and_read)
    world.check()
    report = world.check()
    assert report.epoch == 1
    assert verdicts(report)["fallback_share"] != "stale"


def test_the_schedule_steps_when_all_is_safe_and_the_time_is_over(world: World) -> None:
    world.start_again(step_hours=1e-9)
    world.serve(units=1_500)
    report = world.check()
    assert set(verdicts(report).values()) == {"safe"}
    assert report.refusal is None
    assert last_change(world) == ("schedule", "step")
    assert world.enrolment == 50_000


@pytest.mark.parametrize("shares", [{"a": 0.3, "b": 0.3}, {"a": 0.3, "b": 0.24}], ids=["unknown", "harm"])
def test_no_step_is_taken_while_a_guardrail_is_not_safe(world: World, shares: dict[str, float]) -> None:
    world.start_again(step_hours=1e-9)
    world.serve(units=1_500)
    world.users.shares = shares
    world.check()
    assert (world.state, world.enrolment) == ("running", 10_000)


def test_a_clock_that_is_set_forward_takes_no_step_early(world: World) -> None:
    world.clock.wall += 48 * HOUR
    world.serve(units=1_500)
    assert set(verdicts(world.check()).values()) == {"safe"}
    assert world.enrolment == 10_000


def test_a_clock_that_is_set_back_does_not_stop_the_guard(world: World) -> None:
    world.serve(b=0.3)
    world.check()
    world.clock.wall -= 30
    assert world.check().decision is not None
    assert world.state == "rolled_back"


def test_requests_of_the_future_are_not_current_data(world: World) -> None:
    world.serve(b=0.3, ago=-48 * HOUR)
    assert verdicts(world.check())["fallback_share"] == "stale"


def trip(world: World, epoch: int = 0) -> None:
    lost = Trip("toy@v2", "its service could not be reached for 10 s", 5.0)
    TripFiles(world.home.experiments.folder).add("ranker-2", epoch, "b", lost)


def test_what_the_controller_took_out_of_service_is_rolled_back_at_once(world: World) -> None:
    trip(world)
    world.guard.act_on_trips()
    assert world.state == "rolled_back"
    assert last_change(world) == ("guardrail:crash", "roll_back")
    assert "could not be reached for 10 s" in world.home.experiments.history("ranker-2")[-1].reason
    world.guard.act_on_trips()  # the file stays, and there is nothing left to do


def test_a_kill_that_the_database_does_not_have_yet_is_recorded(world: World) -> None:
    world.home.experiments.kill("ranker-2", actor="ada", reason="it shows sold-out items")
    assert world.state == "running"
    assert world.guard.check() == []
    assert (world.state, last_change(world)) == ("rolled_back", ("ada", "kill"))


def test_units_whose_lists_were_logged_late_stay_in_an_experiment_that_is_held(world: World) -> None:
    def enrolled() -> str | None:
        plan = decode_plan((world.home.experiments.folder / PLAN).read_bytes())
        return plan.experiments[0].enrolled

    world.home.do("ranker-2", "hold")
    before = enrolled()
    world.serve()
    world.check()
    assert None is not enrolled() != before


def test_a_plan_that_can_not_be_compiled_does_not_stop_the_checks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise TastemakerError("a version is missing", fix="rebuild it")

    monkeypatch.setattr(world.home.experiments, "settle_kills", broken)
    world.serve(b=0.3)
    assert verdicts(world.check())["fallback_share"] == "harm"


def test_trips_are_acted_on_while_users_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a count that lasts until then; what it found comes too late for that experiment."""
    counted, states = world.users.read, list[str]()

    def read_slowly(*words: Any, **more: Any) -> RewardUnits | None:
        trip(world)
        given_up = time.monotonic() + 60
        while world.state == "running" and time.monotonic() < given_up:
            time.sleep(0.05)
        states.append(world.state)
        return counted(*words, **more)

    monkeypatch.setattr(world.users, "read", read_slowly)
    world.serve()
    world.users.shares = {"a": 0.30, "b": 0.24}
    world.check()
    assert states == ["rolled_back"]
    assert last_change(world) == ("guardrail:crash", "roll_back")


def test_a_count_of_users_that_takes_long_is_repeated_less_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes at most a twentieth of the time; a short one is repeated each hour."""
    counted, times, taken = world.users.read, list[float](), (600.0, 10.0, 10.0)

    def read_slowly(*words: Any, **more: Any) -> RewardUnits | None:
        times.append(world.clock.monotonic)
        world.clock.pass_by(taken[len(times) - 1])
        return counted(*words, **more)

    monkeypatch.setattr(world.users, "read", read_slowly)
    while len(times) < 3:
        world.serve(units=1)
        world.check(after=300.0)
    pauses = np.diff(times) - taken[:2]  # until the first check after the time is over
    assert pauses.tolist() == [600.0 / 0.05, REWARD_SECONDS]


def test_a_rollback_that_fails_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: Any, **more: Any) -> None:
        raise TastemakerError("the plan can't be written: the disk is full", fix="free it")

    trip(world)
    with monkeypatch.context() as patch:
        patch.setattr(world.home.experiments, "change", full)
        world.guard.act_on_trips()
    assert world.state == "running"
    world.guard.act_on_trips()
    assert world.state == "rolled_back"


def test_an_experiment_that_can_not_be_checked_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.home.running("other", primary="ctr_list", claim=500_000)

    def is_higher_better(metric: str) -> bool:
        if metric == "ctr_list":
            raise TastemakerError("there is no metric 'ctr_list' of units", fix="use another")
        return True

    monkeypatch.setattr(world.users, "is_higher_better", is_higher_better)
    world.serve(b=0.3)
    for _ in range(2):
        world.clock.pass_by(60)
        reports = {one.experiment: one for one in world.guard.check()}
    assert world.state == "rolled_back"
    assert (reports["other"].checks, reports["other"].decision) == ((), None)
    assert "there is no metric" in str(reports["other"].refusal)
    assert "other can't be checked" in caplog.text


def test_a_trip_of_an_earlier_epoch_is_over(world: World) -> None:
    world.home.do("ranker-2", "new_epoch")
    trip(world, epoch=0)
    world.guard.act_on_trips()
    assert world.state == "running"


def test_a_guard_that_was_killed_begins_again_and_acts(world: World) -> None:
    world.serve(b=0.3)
    world.check()
    world.guard = world.started()
    world.check()
    assert world.state == "running"  # what the other one had found in memory does not count
    world.check()
    assert world.state == "rolled_back"


def test_checks_are_stored_when_they_are_new_and_every_five_minutes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve()
    world.check()
    stored = len(world.stored())
    assert stored == len(verdicts(world.check()))
    assert len(world.stored()) == stored
    monkeypatch.setattr("tastemaker.experiments.guardrails.stored_checks.REPEAT_SECONDS", 0.0)
    world.check()
    assert len(world.stored()) == 2 * stored - 1  # users are checked each hour


def test_a_database_that_is_away_stops_nothing_for_good(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.serve(b=0.3)
    monkeypatch.setattr(guarding, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(guarding, "CHECK_SECONDS", 0.0)
    experiments, away = world.home.experiments, OperationalError("SELECT", {}, Exception("gone"))
    lists, stop, looks = experiments.list, Event(), []

    def listed(states: Any = None) -> Any:
        looks.append(1)
        if len(looks) in (2, 3):
            raise away
        if len(looks) > 20:
            stop.set()
        return lists(states)

    monkeypatch.setattr(experiments, "list", listed)
    world.guard.run(stop, lambda reports: stop.set() if world.state == "rolled_back" else None)
    assert world.state == "rolled_back"
    assert "experiments can't be checked" in caplog.text


def test_the_shares_of_another_kind_stay(world: World) -> None:
    world.users.best = {"a": 0.0, "b": 1.0}
    world.check(after=25 * HOUR)
    assert world.home.experiments.get("ranker-2").epoch == 0
    with pytest.raises(TastemakerError, match="of kind ab, whose shares stay"):
        world.home.do("ranker-2", "allocate")
