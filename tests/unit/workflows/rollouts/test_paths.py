"""Which path a version takes: the setting, the traffic and the planner, each with its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import registered_versions, rollout_homes
from support.rollout_homes import BEST, RolloutHome
from tastemaker.experiments.analysis import planner
from tastemaker.experiments.analysis.planner import EffectByDay, TrafficPlan
from tastemaker.experiments.guardrails.metric_guards import metric_guards
from tastemaker.experiments.guardrails.needed_units import units_until_safe
from tastemaker.experiments.guardrails.running_guard import is_guarded, lock_path
from tastemaker.experiments.guardrails.verdicts import OVER, UNDER, evaluate
from tastemaker.plugins import discovery
from tastemaker.promotion_settings import PromotionSettings
from tastemaker.registry import Version
from tastemaker.rollouts.pace import Pace, choose_pace
from tastemaker.stats.unit_summary import UnitSummary
from tastemaker.util.file_lock import file_lock
from tastemaker.workflows.rollouts.designs import canary_design
from tastemaker.workflows.rollouts.paths import decide_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    return rollout_homes.make(tmp_path, monkeypatch)


@pytest.fixture
def guarded(home: RolloutHome) -> Iterator[RolloutHome]:
    with file_lock(lock_path(home.workspace.settings.experiments_root)):
        yield home


def retrained(home: RolloutHome) -> Version:
    """The champion's recipe, trained again."""
    return rollout_homes.add(home.workspace, 1.0, BEST, seed=1)


def released(home: RolloutHome, monkeypatch: pytest.MonkeyPatch) -> Version:
    """The champion's recipe, trained by another release of the model."""
    release = registered_versions.plugin()._replace(version="2.0.0")
    monkeypatch.setattr(discovery, "get", lambda name: release)
    return retrained(home)


def pace(*, is_release: bool) -> Pace:
    """The default pace of newer data, or of another release."""
    return choose_pace(PromotionSettings(), is_newer_fit=not is_release)


def come(monkeypatch: pytest.MonkeyPatch, users: int, days: int | None = 14) -> None:
    """Let the planner find so many users per week, and an experiment that lasts so many days."""
    by_day = tuple(
        EffectByDay(7 * week, {1.0: users * week}, {1.0: 0.04 / week**0.5}) for week in range(1, 5)
    )
    plan = TrafficPlan("reward_per_user", 2.0, 5.0, 0.3, 1.04, 900, 30_000, days, by_day)
    monkeypatch.setattr(planner, "plan_traffic", lambda *given: plan)


def test_the_first_champion_is_always_compared_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, champion=False, path="experiment")
    assert decide_path(home.workspace, home.first).path == "offline"


@pytest.mark.parametrize("path", ["rollout", "experiment", "offline"])
def test_a_setting_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path=path)
    assert decide_path(home.workspace, home.second) == (path, f"the setting promotion.path is {path}", {})


def test_without_a_controller_it_is_offline(home: RolloutHome, monkeypatch: pytest.MonkeyPatch) -> None:
    come(monkeypatch, 100_000)
    assert not is_guarded(home.workspace.settings.experiments_root)
    for version in (retrained(home), home.second):
        found = decide_path(home.workspace, version)
        assert (found.path, found.advice) == ("offline", {})
        assert found.why.startswith("no traffic passes tastemaker control")


def test_with_traffic_the_recipe_decides(guarded: RolloutHome, monkeypatch: pytest.MonkeyPatch) -> None:
    come(monkeypatch, 100_000)
    same, other = (decide_path(guarded.workspace, one) for one in (retrained(guarded), guarded.second))
    assert (same.path, other.path) == ("rollout", "experiment")
    assert other.why == (
        "it is another recipe than the champion's: 30,000 users are needed, and mature after 14 days."
    )
    assert (same.advice["users"], same.advice["days_of_log"], same.advice["days"]) == (400_000, 28, 1.1)
    assert other.advice["smallest_effect"] == 0.02


@pytest.mark.parametrize("is_release", [False, True])
def test_a_canary_with_too_few_users_is_offline_with_the_numbers(
    guarded: RolloutHome, monkeypatch: pytest.MonkeyPatch, is_release: bool
) -> None:
    version = released(guarded, monkeypatch) if is_release else retrained(guarded)
    percent, weeks, rest, limit = (1, 4, 4.0, 28) if is_release else (5, 1, 0.25, 7)
    design = canary_design(guarded.workspace, 0, guarded.first, version, pace(is_release=is_release))
    needed = units_until_safe(design)
    a_week = 100 * needed // percent // weeks
    come(monkeypatch, a_week)
    found = decide_path(guarded.workspace, version)
    assert found.path == "offline"
    assert (
        f"would take {round(limit + rest, 1):g} days, more than {limit}: {percent}% of the users must be"
        in found.why
    )
    come(monkeypatch, 25 * needed // percent - 1)
    found = decide_path(guarded.workspace, version)
    assert found.path == "offline"
    assert f"must be at least {needed:,} for the guardrails to be safe" in found.why
    assert f"come in 28 days, {percent}% of which are {needed - 1:,}" in found.why
    assert found.advice["canary_users_needed"] == needed
    come(monkeypatch, 2 * a_week)
    found = decide_path(guarded.workspace, version)
    assert (found.path, found.advice["days"]) == ("rollout", round(limit / 2 + rest, 1))


@pytest.mark.parametrize(("is_release", "hours"), [(False, 3.0), (True, 24.0)])
def test_users_count_for_as_long_as_a_step(home: RolloutHome, is_release: bool, hours: float) -> None:
    design = canary_design(home.workspace, 0, home.first, home.second, pace(is_release=is_release))
    assert (design.step_hours, design.window_days) == (hours, hours / 24)


@pytest.mark.parametrize(("days", "path"), [(28, "experiment"), (29, "offline"), (None, "offline")])
def test_an_experiment_that_takes_too_long_is_offline(
    guarded: RolloutHome, monkeypatch: pytest.MonkeyPatch, days: int | None, path: str
) -> None:
    come(monkeypatch, 5_000, days)
    found = decide_path(guarded.workspace, guarded.second)
    assert found.path == path
    assert "30,000 users are needed" in found.why
    assert found.advice["units_needed"] == 30_000


def test_a_log_that_says_nothing_is_offline(guarded: RolloutHome) -> None:
    for version in (retrained(guarded), guarded.second):
        found = decide_path(guarded.workspace, version)
        assert found.path == "offline"
        assert "can't be planned from the log: the log has no request" in found.why


def test_one_unit_fewer_is_not_safe_by_the_guards_own_verdict(home: RolloutHome) -> None:
    design = canary_design(home.workspace, 0, home.first, home.second, pace(is_release=True))
    guards = metric_guards(design, 0, lambda metric: True)["new"]
    needed = units_until_safe(design)
    for units, expected in ((needed, {"safe"}), (needed - 1, {"safe", "unknown"})):
        faultless = UnitSummary.of({OVER: np.zeros(units), UNDER: np.ones(units)})
        found = {evaluate(one, faultless, faultless).verdict for one in guards if one.family == "serving"}
        assert found == expected
