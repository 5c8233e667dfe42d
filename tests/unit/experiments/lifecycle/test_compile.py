"""The plan file: written whole or not at all, and compiled again from what the database has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from tastemaker.errors import TastemakerError
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.lifecycle import kills
from tastemaker.experiments.plan import TargetingRule
from tastemaker.experiments.plan_file import PlanFile, decode_plan
from tastemaker.storage.engine import open_engine


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make(open_engine(f"sqlite:///{tmp_path}/meta.db"), tmp_path, monkeypatch)


def path_of(shop: ExperimentHome) -> Path:
    return shop.experiments.folder / kills.PLAN


@pytest.mark.parametrize("damage", [b"", b'{"revision": 3, "exper', b"\xff", b'{"revision": "x"}'])
def test_a_half_written_plan_is_replaced_and_controllers_keep_the_last_good_one(
    shop: ExperimentHome, damage: bytes
) -> None:
    shop.running()
    good = path_of(shop).read_bytes()
    reader = PlanFile(path_of(shop))
    path_of(shop).write_bytes(damage)
    assert reader.current().plan == decode_plan(good)
    shop.experiments.publish()
    again = decode_plan(path_of(shop).read_bytes())
    undated = {"revision": 0, "made_at": 0.0}
    assert msgspec.structs.replace(again, **undated) == msgspec.structs.replace(decode_plan(good), **undated)


def test_an_older_plan_that_was_copied_back_is_replaced_by_one_that_controllers_take(
    shop: ExperimentHome,
) -> None:
    """Also where its content is what the database has, and where a kill comes first."""
    path, name = path_of(shop), shop.running()
    older = path.read_bytes()
    reader = PlanFile(path)
    shop.do(name, "step", confirmed=("duration", "guardrails"))
    newest = decode_plan(path.read_bytes())
    reader.look()
    path.write_bytes(older)
    reader.look()
    assert reader.current().plan == newest
    shop.experiments.publish()
    reader.look()
    written, trouble = reader.current().plan, reader.trouble
    assert (written.revision, trouble) == (newest.revision + 1, None)
    assert written.experiments == newest.experiments
    path.write_bytes(older)
    shop.experiments.kill(name, actor="ada", reason="it shows sold-out items")
    reader.look()
    (killed,) = reader.current().plan.experiments
    assert (killed.killed, killed.enrolment) == (True, newest.experiments[0].enrolment)


def test_a_full_disk_leaves_the_plan_in_force(shop: ExperimentHome, monkeypatch: pytest.MonkeyPatch) -> None:
    name = shop.running()
    before = path_of(shop).read_bytes()

    fsync = os.fsync

    def full(handle: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TastemakerError, match="No space left on device; the plan in force stays"):
        shop.do(name, "step", confirmed=("duration", "guardrails"))
    assert path_of(shop).read_bytes() == before
    monkeypatch.setattr(os, "fsync", fsync)
    shop.experiments.publish()
    assert decode_plan(path_of(shop).read_bytes()).experiments[0].enrolment == 50_000


def test_a_plan_that_contradicts_itself_is_refused_before_it_is_recorded(shop: ExperimentHome) -> None:
    rule = TargetingRule("age", "at_least", ("old",))
    name = shop.draft(targeting=(rule,))
    before = path_of(shop).read_bytes()
    with pytest.raises(TastemakerError, match="must be one number"):
        shop.do(name, "ready")
    assert shop.experiments.get(name).state == "draft"
    assert path_of(shop).read_bytes() == before


def test_a_step_moves_no_unit_and_a_new_epoch_assigns_again(shop: ExperimentHome) -> None:
    """What the states promise, by the assignments of 4,000 users."""
    name = shop.running(steps=(200_000, 1_000_000))

    def assigned() -> dict[str, str]:
        plan = decode_plan(path_of(shop).read_bytes())
        assigner = Assigner(plan, shop.experiments.folder)
        users = [f"u{n}" for n in range(4_000)]
        return {user: one.variant for user in users for one in assigner.assign(Units(user=user), {})}

    first = assigned()
    assert 700 < len(first) < 900
    shop.do(name, "step", confirmed=("duration", "guardrails"))
    second = assigned()
    assert len(second) == 4_000
    assert first.items() <= second.items()
    shop.do(name, "new_epoch")
    third = assigned()
    assert set(third) == set(first)
    moved = sum(first[user] != third[user] for user in first)
    assert 0.4 < moved / len(first) < 0.6
    shop.do(name, "roll_back")
    assert assigned() == {}
