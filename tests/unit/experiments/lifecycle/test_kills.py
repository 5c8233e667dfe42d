"""Kills: without the database, beside a compilation, and recorded later."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from support import experiment_homes
from support.experiment_homes import PERSON, ExperimentHome
from tastemaker.errors import TastemakerError
from tastemaker.experiments.lifecycle import kills
from tastemaker.experiments.lifecycle.compile import PlanCompiler
from tastemaker.experiments.lifecycle.states import ActionRefused
from tastemaker.experiments.plan import ControlPlan
from tastemaker.storage.engine import open_engine
from tastemaker.util.file_lock import file_lock


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make(open_engine(f"sqlite:///{tmp_path}/meta.db"), tmp_path, monkeypatch)


def plan_of(shop: ExperimentHome) -> ControlPlan:
    return kills.read_plan(shop.experiments.folder / kills.PLAN)


def test_a_kill_acts_without_the_database_and_is_recorded_when_it_answers(shop: ExperimentHome) -> None:
    name = shop.running()
    before = plan_of(shop)
    kills.kill(shop.experiments.folder, name, PERSON, "it shows empty lists")
    assert plan_of(shop).experiments[0].killed
    assert plan_of(shop).revision == before.revision + 1
    assert shop.experiments.get(name).state == "running"
    shop.experiments.settle_kills()
    found = shop.experiments.get(name)
    last = shop.experiments.history(name)[-1]
    assert (found.state, last.action, last.actor, last.reason) == (
        "rolled_back", "kill", PERSON, "it shows empty lists",
    )  # fmt: skip
    assert "killed_at" in last.evidence
    assert plan_of(shop).experiments == ()
    assert kills.pending(shop.experiments.folder) == []
    shop.experiments.settle_kills()
    assert shop.experiments.history(name)[-1] == last


@pytest.mark.parametrize(
    ("actor", "reason", "problem"),
    [
        (PERSON, " ", "a change of ranker-2 needs a reason"),
        ("", "why", "it is not known who changes ranker-2"),
        ("a" * 201, "why", "has 201 characters, at most 200 are kept"),
    ],
)
def test_a_kill_that_can_not_be_recorded_is_refused(
    shop: ExperimentHome, actor: str, reason: str, problem: str
) -> None:
    name = shop.running()
    with pytest.raises(ActionRefused, match=problem):
        kills.kill(shop.experiments.folder, name, actor, reason)
    assert not plan_of(shop).experiments[0].killed
    assert kills.pending(shop.experiments.folder) == []


def test_a_compilation_keeps_a_kill_that_is_not_recorded_yet(shop: ExperimentHome) -> None:
    name = shop.running()
    kills.kill(shop.experiments.folder, name, PERSON, "why")
    (shop.experiments.folder / kills.PLAN).unlink()
    shop.experiments.publish()
    assert plan_of(shop).experiments[0].killed


def test_a_compilation_under_way_does_not_take_a_kill_back(
    shop: ExperimentHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the database and the kills; then comes the kill, and only then it writes."""
    name = shop.running()
    write = PlanCompiler._write
    others: list[threading.Thread] = []

    def late(self: PlanCompiler, plan: ControlPlan) -> ControlPlan:
        if not others:
            folder = shop.experiments.folder
            others.append(threading.Thread(target=kills.kill, args=(folder, name, PERSON, "why")))
            others[0].start()
            others[0].join()
        return write(self, plan)

    monkeypatch.setattr(PlanCompiler, "_write", late)
    shop.experiments.publish()
    assert plan_of(shop).experiments[0].killed


def test_the_next_change_records_a_kill_first(shop: ExperimentHome) -> None:
    name = shop.running()
    kills.kill(shop.experiments.folder, name, PERSON, "why")
    with pytest.raises(TastemakerError, match="is rolled_back, so step is not possible"):
        shop.do(name, "step")
    shop.do(name, "new_epoch")
    assert not plan_of(shop).experiments[0].killed
    assert plan_of(shop).experiments[0].epoch == 1
    assert shop.experiments.verify(name) == []


def test_what_does_not_run_can_not_be_killed(shop: ExperimentHome) -> None:
    shop.running()
    with pytest.raises(TastemakerError, match=r"other does not run: .*plan.json has ranker-2"):
        kills.kill(shop.experiments.folder, "other", PERSON, "why")
    assert kills.pending(shop.experiments.folder) == []


@pytest.mark.parametrize("content", [b"", b'{"revision": 3, "exper', b"\xff"])
def test_a_damaged_plan_file_does_not_stop_a_kill(shop: ExperimentHome, content: bytes) -> None:
    """Controllers act by the last good plan, so it is that one in which the experiment is killed."""
    name = shop.running()
    before = plan_of(shop)
    (shop.experiments.folder / kills.PLAN).write_bytes(content)
    kills.kill(shop.experiments.folder, name, PERSON, "why")
    after = plan_of(shop)
    assert [one.killed for one in after.experiments] == [True]
    assert (after.revision, after.services) == (before.revision + 1, before.services)


def test_without_any_plan_nothing_can_be_killed(shop: ExperimentHome) -> None:
    name = shop.running()
    (shop.experiments.folder / kills.PLAN).unlink()
    with pytest.raises(TastemakerError, match="can't be read"):
        kills.kill(shop.experiments.folder, name, PERSON, "why")


def test_a_kill_whose_plan_can_not_be_written_acts_once_it_can(shop: ExperimentHome) -> None:
    name, path = shop.running(), shop.experiments.folder / kills.PLAN
    path.unlink()
    path.mkdir()
    with pytest.raises(TastemakerError, match=r"(?s)ranker-2 is not killed yet: .*plan --write"):
        kills.kill(shop.experiments.folder, name, PERSON, "why")
    path.rmdir()
    shop.experiments.publish()
    assert plan_of(shop).experiments[0].killed


@pytest.mark.parametrize("is_removed", [True, False])
def test_revisions_continue_after_the_plan_file_was_lost(shop: ExperimentHome, is_removed: bool) -> None:
    shop.running()
    before, path = plan_of(shop).revision, shop.experiments.folder / kills.PLAN
    path.unlink() if is_removed else path.write_bytes(b"{")
    shop.experiments.publish()
    assert plan_of(shop).revision == before + 1


def test_a_damaged_kill_is_named(shop: ExperimentHome) -> None:
    (shop.experiments.folder / kills.FOLDER).mkdir(parents=True)
    (shop.experiments.folder / kills.FOLDER / "x.json").write_text("{")
    with pytest.raises(TastemakerError, match=r"x.json can't be read: .*\n.*remove it"):
        shop.experiments.settle_kills()


def test_a_kill_does_not_wait_for_a_compilation_that_hangs(shop: ExperimentHome) -> None:
    name = shop.running()
    with file_lock(shop.experiments.folder / kills.LOCK):
        kills.kill(shop.experiments.folder, name, PERSON, "why")
    assert plan_of(shop).experiments[0].killed
