"""The path experiment: planned looks promote or decline, and what is undecided is left to a person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from support import planned_experiments, rollout_homes
from support.rollout_homes import BASE, BEST, PERSON, Killed, RolloutHome, killed_after
from tastemaker.registry import champion
from tastemaker.rollouts import store
from tastemaker.storage.tables import looks
from tastemaker.workflows import experiment_draft, experiments
from tastemaker.workflows.rollouts import actions, steps
from tastemaker.workflows.rollouts.designs import comparison_design

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    monkeypatch.setattr(experiment_draft, "planned", lambda workspace, design: (design, "enough"))
    monkeypatch.setattr(experiments, "store_forecasts", lambda workspace, experiment: [])
    return rollout_homes.make(tmp_path, monkeypatch, path="experiment")


def begun(home: RolloutHome) -> int:
    """Begin a rollout that a person approves, as no A/A experiment has passed."""
    rollout = steps.begin(home.workspace, home.second.id, "schedule", "the newest")
    assert steps.advance(home.workspace, rollout.id).state == "approval"
    assert "no A/A experiment has passed in the namespace home" in last(home, rollout.id).reason
    assert home.workspace.experiments.list() == [], "it claims no unit while it waits"
    assert steps.awaits_approval(home.workspace, store.read_rollout(home.workspace.engine, rollout.id))
    assert actions.approve(home.workspace, rollout.id, PERSON, "units are known to be right").state == "ramp"
    return rollout.id


def last(home: RolloutHome, rollout_id: int) -> store.RolloutChange:
    return store.read_changes(home.workspace.engine, rollout_id)[-1]


def decide(home: RolloutHome, rollout_id: int, verdict: str, information: float = 0.5) -> str:
    """Store a look, and return the state after it."""
    name, engine = f"rollout-{rollout_id}", home.workspace.engine
    row: dict[str, Any] = {"verdict": verdict, "information": information, "sentence": f"new is {verdict}."}
    planned_experiments.plant_look(engine, NOW, name, 3, units={"control": 900, "new": 910}, **row)
    return steps.advance(home.workspace, rollout_id).state


def served(home: RolloutHome) -> str:
    found = home.workspace.registry.champion("shop")
    assert found is not None
    return found.id


def test_a_version_that_is_better_is_promoted_with_the_look(home: RolloutHome) -> None:
    rollout_id = begun(home)
    (started,) = home.workspace.experiments.list()
    assert (started.kind, started.namespace, started.state) == ("ab", "home", "running")
    assert started.design.variants["new"].recipe is not None, "both are trained again while it runs"
    history = home.workspace.experiments.history(started.name)
    assert [(one.actor, one.action) for one in history][-1] == (PERSON, "start")
    assert decide(home, rollout_id, "better") == "promoted"
    assert served(home) == home.second.id
    assert last(home, rollout_id).reason.startswith("experiment rollout-1, look 3: new is better.")
    assert home.workspace.experiments.get(started.name).state == "decided"


def test_a_newer_fit_of_the_champion_is_compared_with_it_and_not_with_itself(home: RolloutHome) -> None:
    newer = rollout_homes.add(home.workspace, 1.0, BEST)
    variants = comparison_design(home.workspace, 1, home.first, newer).variants
    assert [(one.recipe, one.version) for one in variants.values()] == [
        (None, home.first.id),
        (None, newer.id),
    ]


def test_a_promotion_that_dies_after_each_write_is_made_once(home: RolloutHome) -> None:
    rollout_id, engine = begun(home), home.workspace.engine
    planned_experiments.plant_look(
        engine, NOW, f"rollout-{rollout_id}", 3, units={"control": 900, "new": 910}, verdict="better"
    )
    state = "ramp"
    while state == "ramp":
        with killed_after(engine, 1):
            try:
                state = steps.advance(home.workspace, rollout_id).state
            except Killed:
                continue
    assert state == "promoted"
    assert [one.version_id for one in champion.log(engine, "shop")] == [home.first.id, home.second.id]
    assert home.workspace.experiments.get(f"rollout-{rollout_id}").state == "decided"


def test_the_newest_version_of_the_recipe_is_promoted(home: RolloutHome) -> None:
    rollout_id = begun(home)
    newest = rollout_homes.add(home.workspace, 2.0, BEST, seed=1)
    assert decide(home, rollout_id, "better") == "promoted"
    assert served(home) == newest.id


def test_a_version_that_is_worse_is_declined_and_its_units_are_free(home: RolloutHome) -> None:
    rollout_id = begun(home)
    assert decide(home, rollout_id, "worse") == "declined"
    assert served(home) == home.first.id
    assert home.workspace.experiments.get(f"rollout-{rollout_id}").state == "decided"
    assert "new is worse." in str(store.refusal(home.workspace.engine, home.second.id))


def test_what_is_not_decided_is_left_to_a_person(home: RolloutHome) -> None:
    rollout_id = begun(home)
    assert decide(home, rollout_id, "undecided") == "ramp"
    assert last(home, rollout_id).evidence["look"] == 3
    with home.workspace.engine.begin() as connection:
        connection.execute(update(looks).values(information=1.0))
    assert steps.advance(home.workspace, rollout_id).state == "declined"
    assert served(home) == home.first.id
    stopped = home.workspace.experiments.get(f"rollout-{rollout_id}")
    assert stopped.state == "stopped"
    home.workspace.experiments.require_possible(
        stopped.name, "ship", actor=PERSON, variant="new", confirmed=("verdict",)
    )


def test_an_invalid_look_promotes_nothing(home: RolloutHome) -> None:
    rollout_id = begun(home)
    assert decide(home, rollout_id, "invalid") == "ramp"
    assert served(home) == home.first.id
    assert home.workspace.experiments.get(f"rollout-{rollout_id}").state == "running"


def test_a_version_that_is_not_better_than_the_baseline_is_not_tried(home: RolloutHome) -> None:
    bad = rollout_homes.add(home.workspace, 6.0, BASE)
    rollout = steps.begin(home.workspace, bad.id, "schedule", "the newest")
    state = actions.approve(home.workspace, rollout.id, PERSON, "try it").state
    assert state == "declined"
    assert "it is not better than the baseline" in last(home, rollout.id).reason
