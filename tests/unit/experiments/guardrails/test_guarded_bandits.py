"""The guard on a bandit: its next units get shares by the probabilities that a variant is the best."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support import experiment_homes
from support.guarded_worlds import HOUR, World, last_change
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.plan import EarlierEpoch
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine

pytestmark = pytest.mark.slow


@pytest.fixture
def bandits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    engine = open_engine(f"sqlite:///{tmp_path}/metadata.db")
    home = experiment_homes.make(engine, tmp_path, monkeypatch)
    home.running(kind="bandit", window_days=1.0, planned_units=10_000, step_hours=1e-9)
    with closing(AssignedRequests(Settings(home=tmp_path))) as requests:
        yield World(home, tmp_path, requests)
    engine.dispose()


def shares(world: World) -> dict[str, int]:
    design = world.home.experiments.get("ranker-2").design
    return {name: one.share for name, one in design.variants.items()}


def test_a_bandits_next_units_get_shares_by_the_probabilities(bandits: World) -> None:
    bandits.users.best = {"a": 0.1, "b": 0.9}
    bandits.serve(units=1_500)
    report = bandits.check()
    assert report.refusal is None
    assert last_change(bandits) == ("schedule", "allocate")
    assert shares(bandits) == {"a": 140_000, "b": 860_000}
    its = bandits.home.experiments.get("ranker-2")
    assert (its.epoch, its.state, its.enrolment) == (1, "running", 50_000)
    evidence = bandits.home.experiments.history("ranker-2")[-1].evidence
    assert evidence["probabilities"] == {"a": 0.1, "b": 0.9}
    planned = bandits.home.experiments.publish().experiments[0]
    assert [(one.start, one.end) for one in planned.variants] == [(0, 140_000), (140_000, 1_000_000)]
    halves = {"a": (0, 500_000), "b": (500_000, 1_000_000)}
    assert planned.earlier == (EarlierEpoch(0, 10_000, halves),)


def test_a_bandit_opens_no_units_while_a_guardrail_is_not_safe(bandits: World) -> None:
    bandits.users.best = {"a": 0.1, "b": 0.9}
    bandits.users.shares = {"a": 0.3, "b": 0.3}  # unknown
    bandits.serve(units=1_500)
    bandits.check()
    assert (bandits.home.experiments.get("ranker-2").epoch, bandits.enrolment) == (0, 10_000)


def test_a_bandit_waits_for_its_first_outcomes_and_steps_without_enough_of_them(bandits: World) -> None:
    bandits.serve(units=1_500)
    bandits.check()
    assert bandits.enrolment == 10_000
    bandits.clock.pass_by(25 * HOUR)
    bandits.serve(units=1_500)
    bandits.check()
    assert last_change(bandits) == ("schedule", "step")
    assert (bandits.home.experiments.get("ranker-2").epoch, bandits.enrolment) == (0, 50_000)


def test_shares_that_are_about_the_same_stay_in_their_epoch(bandits: World) -> None:
    bandits.users.best = {"a": 0.505, "b": 0.495}
    bandits.serve(units=1_500)
    bandits.check()
    assert last_change(bandits) == ("schedule", "step")
    assert bandits.home.experiments.get("ranker-2").epoch == 0
