"""A newer fit of the champion replaces it by itself, unless the recipe is worse than the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import registered_versions, rollout_homes
from support.registered_versions import Toy
from support.rollout_homes import BASE, BEST, BETTER, PERSON, RNG, RolloutHome
from tastemaker.errors import RegistryError
from tastemaker.evaluation.failures import Failure
from tastemaker.evaluation.leaderboard.breaches import Breach
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.rollouts import store
from tastemaker.workflows.promote import PromotionResult, promote_best
from tastemaker.workflows.rollouts import actions, offline, steps
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.slow
NOISE = RNG.normal(0, 0.3, 500)
TIED = BASE + NOISE - NOISE.mean()
WORSE = BASE - RNG.uniform(0, 0.2, 500)
NOT_WORSE = (
    "it is the champion's recipe with newer data, which is not worse than the baseline: toy - popularity"
)
IS_WORSE = "it is the champion's recipe with newer data, which is worse than the baseline: toy - popularity"
BASELINE_IS_BETTER = "the baseline is better than the champion's recipe: toy - popularity in ndcg: -0."


class Other(Toy):
    """Another model."""

    name = "other"


class Popularity(Toy):
    """The baseline."""

    name = "popularity"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    return rollout_homes.make(tmp_path, monkeypatch, path="offline")


def newer_fit(home: RolloutHome, values: np.ndarray) -> Version:
    """The champion's recipe, trained again."""
    return rollout_homes.add(home.workspace, 1.0, values, seed=-1)


def served(result: PromotionResult) -> str:
    assert result.version is not None
    return result.version.id


def last_reason(home: RolloutHome) -> str:
    (rollout, *_) = store.list_rollouts(home.workspace.engine)
    return store.read_changes(home.workspace.engine, rollout.id)[0].reason


def test_one_that_is_better_than_the_baseline_is_promoted_as_the_best_model(home: RolloutHome) -> None:
    newer = newer_fit(home, BETTER)
    result = promote_best(home.workspace)
    assert (served(result), result.warning) == (newer.id, None)
    assert result.why.startswith("toy - popularity in ndcg: +0.")
    assert last_reason(home) == "it is the best model's newest version"


def test_one_that_does_not_differ_from_the_baseline_replaces_the_older_fit(home: RolloutHome) -> None:
    newer = newer_fit(home, TIED)
    result = promote_best(home.workspace)
    assert (served(result), result.warning) == (newer.id, None)
    assert result.why.startswith(NOT_WORSE)
    assert last_reason(home) == "it is the champion's recipe with newer data"
    assert home.workspace.registry.frozen("shop") is None


def test_one_that_is_worse_is_refused_and_a_person_hears_that_the_baseline_is_better(
    home: RolloutHome,
) -> None:
    newer = newer_fit(home, WORSE)
    result = promote_best(home.workspace)
    assert served(result) == home.first.id
    assert "no model is better than popularity within the guardrails; " in result.why
    assert IS_WORSE in result.why
    assert result.warning is not None
    assert result.warning.startswith(BASELINE_IS_BETTER)
    assert "tastemaker models versions popularity" in result.warning
    with pytest.raises(RegistryError, match=IS_WORSE) as caught:
        home.workspace.promotion_gate.promote(newer.id)
    assert str(caught.value.fix).startswith("to serve popularity: tastemaker models promote VERSION --force")


def test_a_freeze_does_not_hide_that_the_baseline_is_better(home: RolloutHome) -> None:
    newer_fit(home, WORSE)
    home.workspace.promotion_gate.promote(home.first.id, force_reason="the sale", actor=PERSON)
    warning = promote_best(home.workspace).warning
    assert warning is not None
    assert warning.startswith("automatic promotion is frozen since the forced promotion of")
    assert BASELINE_IS_BETTER in warning


@pytest.mark.parametrize("values", [TIED, WORSE])
def test_another_config_must_be_better_than_the_baseline(home: RolloutHome, values: np.ndarray) -> None:
    other = rollout_homes.add(home.workspace, 3.0, values, seed=-3)
    result = promote_best(home.workspace)
    assert (served(result), result.warning) == (home.first.id, None)
    assert result.why == "no model is better than popularity within the guardrails"
    with pytest.raises(RegistryError, match="it is not better than the baseline"):
        home.workspace.promotion_gate.promote(other.id)


def test_another_release_must_be_better_than_the_baseline(
    home: RolloutHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = registered_versions.plugin()._replace(version="2.0.0")
    monkeypatch.setattr(discovery, "get", lambda name: release)
    newer_fit(home, TIED)
    result = promote_best(home.workspace)
    assert served(result) == home.first.id
    assert result.why == "no model is better than popularity within the guardrails"


def test_an_older_fit_must_be_better_than_the_baseline(home: RolloutHome) -> None:
    older, newer = newer_fit(home, TIED), newer_fit(home, TIED)
    home.workspace.promotion_gate.promote(newer.id)
    with pytest.raises(RegistryError, match="it is not better than the baseline"):
        home.workspace.promotion_gate.promote(older.id)


@pytest.mark.parametrize("path", ["rollout", "experiment", "offline"])
@pytest.mark.parametrize(("values", "may"), [(BETTER, True), (TIED, True), (WORSE, False)])
def test_the_rule_is_the_same_on_all_paths(
    home: RolloutHome, path: Any, values: np.ndarray, may: bool
) -> None:
    found = offline.objection(home.workspace, newer_fit(home, values), path)
    assert (found is None) == may
    assert may or IS_WORSE in str(found)


def test_on_the_path_rollout_it_goes_to_few_users_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="rollout", shadow_hours=0)
    newer = newer_fit(home, TIED)
    assert served(promote_best(home.workspace)) == home.first.id
    (rollout,) = store.list_rollouts(home.workspace.engine)
    assert (rollout.version_id, rollout.state) == (newer.id, "canary")


def test_a_better_model_is_tried_first(home: RolloutHome) -> None:
    newer_fit(home, TIED)
    other = rollout_homes.add(home.workspace, 1.0, BEST, kind=Other)
    assert served(promote_best(home.workspace)) == other.id


def test_where_the_better_model_may_be_worse_than_the_champion_a_newer_fit_replaces_the_older(
    home: RolloutHome,
) -> None:
    newer = newer_fit(home, TIED)
    rollout_homes.add(home.workspace, 1.0, BASE + RNG.uniform(0, 0.02, 500), kind=Other)
    board = home.workspace.leaderboard()
    assert {row.model: row.verdict for row in board.rows if row.model != "popularity"} == {
        "other": "better",
        "toy": "tied",
    }
    assert served(promote_best(home.workspace)) == newer.id


def test_where_the_better_model_is_not_tried_again_a_newer_fit_replaces_the_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline", approval=True)
    other = rollout_homes.add(home.workspace, 1.0, BEST, kind=Other)
    begun = steps.begin(home.workspace, other.id, "schedule", "it is the best model's newest version")
    actions.decline(home.workspace, begun.id, PERSON, "not before the sale")
    newer = newer_fit(home, TIED)
    promote_best(home.workspace)
    (waits, _) = store.list_rollouts(home.workspace.engine)
    assert (waits.version_id, waits.state) == (newer.id, "approval")


def breaching(board: Leaderboard) -> Leaderboard:
    breach = Breach("coverage", 0.01, 0.05, "at least")
    return replace(board, rows=tuple(replace(row, breaches=(breach,)) for row in board.rows))


def failing(board: Leaderboard) -> Leaderboard:
    return replace(board, failures=(Failure("toy", "it needs more memory", datetime.now(UTC)),))


def without_it(board: Leaderboard) -> Leaderboard:
    return replace(board, rows=tuple(row for row in board.rows if row.model != "toy"))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (breaching, "toy breaches a guardrail: Coverage 0.0100, must be at least 0.0500"),
        (failing, "toy failed, so that there is no new version"),
        (without_it, "toy is not on the leaderboard"),
    ],
)
def test_what_keeps_a_model_out_keeps_its_newer_fits_out(
    home: RolloutHome,
    monkeypatch: pytest.MonkeyPatch,
    changed: Callable[[Leaderboard], Leaderboard],
    why: str,
) -> None:
    newer = newer_fit(home, TIED)
    board = changed(home.workspace.leaderboard())
    monkeypatch.setattr(Workspace, "leaderboard", lambda self: board)
    result = promote_best(home.workspace)
    assert served(result) == home.first.id
    assert result.why.endswith(f"version {newer.id} is not promoted: {why}")


def test_a_baseline_that_is_champion_is_renewed(home: RolloutHome) -> None:
    newer_fit(home, TIED)
    older = rollout_homes.add(home.workspace, 1.0, BASE, seed=-2, kind=Popularity)
    with pytest.raises(RegistryError, match="it is the baseline, so it can't be better"):
        home.workspace.promotion_gate.promote(older.id)
    home.workspace.registry.make_champion(older, "it is simple", forced=False)
    newer = rollout_homes.add(home.workspace, 1.0, BASE, seed=-3, kind=Popularity)
    result = promote_best(home.workspace)
    assert (served(result), result.warning) == (newer.id, None)
    assert result.why == "it is the champion's recipe with newer data, which is the baseline"
