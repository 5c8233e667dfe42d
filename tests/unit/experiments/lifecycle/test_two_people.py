"""Changes at the same time, by people with connections of their own, on SQLite and on Postgres."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, Literal

import pytest
from sqlalchemy import Engine, select

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from tastemaker.errors import TastemakerError
from tastemaker.experiments.lifecycle import changes
from tastemaker.experiments.lifecycle.states import ActionRefused
from tastemaker.experiments.lifecycle.store import Experiments
from tastemaker.storage.tables import namespace_claims


@pytest.fixture
def shop(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make(engine, tmp_path, monkeypatch)


def test_the_second_of_two_people_gets_a_clear_error(shop: ExperimentHome) -> None:
    """Both saw the same state; each has a connection of its own."""
    name = shop.running()
    other = Experiments(shop.experiments.engine, shop.experiments.folder.parent, shop.experiments.problem)
    seen, seen_by_other = shop.experiments.get(name).changes, other.get(name).changes
    shop.do(name, "step", confirmed=("duration", "guardrails"), expected_changes=seen)
    with pytest.raises(ActionRefused, match=r"changed in the meantime: step by ada at .* UTC .as planned."):
        other.change(name, "stop", actor="bob", reason="too slow", expected_changes=seen_by_other)
    assert shop.experiments.get(name).state == "running"


def test_of_two_people_at_the_same_time_one_is_refused(shop: ExperimentHome) -> None:
    """Both have read the experiment before either writes: each has a connection of its own."""
    name = shop.running()
    both = Barrier(2, timeout=30)

    def attempt(person: str) -> str:
        mine = Experiments(shop.experiments.engine, shop.experiments.folder.parent, shop.experiments.problem)
        seen = mine.get(name).changes
        both.wait()
        try:
            mine.change(name, "stop", actor=person, reason="it is enough", expected_changes=seen)
        except ActionRefused as error:
            return error.problem
        return "done"

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(attempt, ("ada", "bob")))
    assert answers[0] == "done"
    assert re.search(
        "changed in the meantime: stop by (ada|bob)|is stopped, so stop is not possible", answers[1]
    )
    assert [one.action for one in shop.experiments.history(name)].count("stop") == 1
    assert shop.experiments.verify(name) == []


def test_a_change_that_was_read_before_another_is_refused_by_the_database(
    shop: ExperimentHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other change comes between what this one read and what it writes."""
    name = shop.running()
    write = changes.apply

    def late(*given: Any, **more: Any) -> Any:
        monkeypatch.setattr(changes, "apply", write)
        shop.do(name, "roll_back", actor="bob")
        return write(*given, **more)

    monkeypatch.setattr(changes, "apply", late)
    with pytest.raises(ActionRefused, match="changed in the meantime: roll_back by bob"):
        shop.do(name, "stop")
    assert shop.experiments.get(name).state == "rolled_back"


def test_two_claims_at_the_same_time_do_not_overlap(shop: ExperimentHome) -> None:
    names = [shop.draft(f"each-{number}", claim=400_000) for number in range(3)]
    together = Barrier(3, timeout=30)

    def attempt(name: str) -> bool:
        together.wait()
        try:
            shop.do(name, "ready")
        except TastemakerError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(attempt, names)) == [False, True, True]
    with shop.experiments.engine.connect() as connection:
        ranges = sorted((row.start, row.end) for row in connection.execute(select(namespace_claims)))
    assert ranges == [(0, 400_000), (400_000, 800_000)]


def test_of_two_drafts_of_a_name_at_the_same_time_one_is_refused(shop: ExperimentHome) -> None:
    both = Barrier(2, timeout=30)

    def attempt(unit: Literal["user", "session"]) -> bool:
        design = shop.design(namespace="basket")
        both.wait()
        try:
            shop.experiments.create(design, "ada", new_unit=unit)
        except TastemakerError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, ("user", "session"))) == [False, True]
    assert [one.name for one in shop.experiments.list()] == ["ranker-2"]
    assert len(shop.experiments.history("ranker-2")) == 1
