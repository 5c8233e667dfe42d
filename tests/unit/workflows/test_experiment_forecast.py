"""Forecasts of experiments: from backtests, and what came of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sqlalchemy import insert, select

from support import experiment_homes, registered_versions
from tastemaker.experiments.lifecycle.store import Experiments
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.settings import Settings
from tastemaker.stats.group_sequential import stagewise_estimate
from tastemaker.storage.tables import experiment_forecasts, look_effects, looks
from tastemaker.workflows.experiment_forecast import METRIC, store_forecasts
from tastemaker.workflows.workspace import Workspace

USERS = 4_000


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    problem = tmp_path / "problem.yaml"
    problem.write_text("name: shop\nobjectives: [{name: sales, events: {purchase: {}}}]\n")
    workspace = Workspace(Settings(home=tmp_path / "home", problem=problem))
    workspace.experiments.add_namespace("home", cool_down_seconds=0)
    return workspace


def version(shop: Workspace, values: np.ndarray | None, age_days: int, weight: float) -> Version:
    """A version whose backtest has these rewards of the users' lists."""
    backtest = None
    if values is not None:
        backtest = registered_versions.put_backtest(
            shop.engine, shop.settings.artifacts, "toy", values.tolist(), metric="reward", age_days=age_days
        )
    return registered_versions.add(shop.registry, weight=weight, backtest_id=backtest)


def make_ready(shop: Workspace, control: Version, other: Version) -> Experiments:
    shop.registry.make_champion(control, "the first", forced=True)
    shop.experiments.create(experiment_homes.design("x", control.id, other.id), "ada")
    return shop.experiments


@pytest.mark.slow
def test_the_offline_forecast_is_the_ratio_of_the_backtests_with_its_error_over_users(
    shop: Workspace,
) -> None:
    rng = np.random.default_rng(3)
    b = rng.gamma(0.5, 2.0, USERS)
    a = 0.7 * b + rng.gamma(0.4, 1.0, USERS)
    experiments = make_ready(shop, version(shop, b, 0, 1.0), version(shop, a, 1, 2.0))
    offline, off_policy = store_forecasts(shop, experiments.get("x"))
    assert offline.forecast == pytest.approx(a.mean() / b.mean() - 1)
    drawn = rng.integers(0, USERS, (2_000, USERS))
    resampled = [a[each].mean() / b[each].mean() - 1 for each in drawn]
    assert offline.error == pytest.approx(np.std(resampled), rel=0.06)
    assert off_policy.forecast is None
    assert off_policy.missing is not None
    with shop.engine.connect() as connection:
        (row,) = connection.execute(select(experiment_forecasts)).all()
    assert (row.variant, row.method, row.metric, row.epoch) == ("b", "offline", METRIC, 0)
    assert row.forecast == offline.forecast
    assert row.outcome is None


def test_without_comparable_backtests_the_reason_is_said(shop: Workspace) -> None:
    rewards = np.arange(100.0)
    control = version(shop, rewards, 0, 1.0)
    reasons: list[str | None] = []
    for other in (
        version(shop, None, 0, 2.0),
        version(shop, rewards[:50], 1, 2.0),
        version(shop, rewards, 0, 3.0),
    ):
        shop.registry.make_champion(control, "the first", forced=True)
        name = f"x{len(reasons)}"
        shop.experiments.create(experiment_homes.design(name, control.id, other.id), "ada")
        reasons.append(store_forecasts(shop, shop.experiments.get(name))[0].missing)
    assert reasons[0] is not None
    assert "has no backtest" in reasons[0]
    assert reasons[1:] == [
        "the backtests are of different users",
        "both versions have the same backtest: they differ in their data alone",
    ]


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_a_decision_stores_what_came_beside_the_forecast(shop: Workspace, role: str) -> None:
    """Of the metric that decides when to stop, the estimate allows for the looks before."""
    rng = np.random.default_rng(4)
    b = rng.gamma(0.5, 2.0, USERS)
    experiments = make_ready(shop, version(shop, b, 0, 1.0), version(shop, 1.1 * b, 1, 2.0))
    for action, confirmed in (("ready", ()), ("start", ("aa",))):
        experiments.change("x", action, actor="ada", reason="planned", confirmed=confirmed)
    store_forecasts(shop, experiments.get("x"))
    relative, error = 0.03, 0.0125
    taken = [(1, 0.25, 4.333, True), (2, 0.4, None, False), (3, 0.5, 2.963, True), (4, 1.0, 1.969, True)]
    effect = {
        "experiment": "x", "epoch": 0, "number": 4, "metric": METRIC, "variant": "b", "slice": "",
        "is_adjusted": False, "role": role, "unit": "reward", "units": 5_000, "control_units": 5_000,
        "relative": relative, "p": float(2 * norm.sf(relative / error)),
    }  # fmt: skip
    with shop.engine.begin() as connection:
        connection.execute(insert(looks), [planned_look(*one) for one in taken])
        connection.execute(insert(look_effects).values(effect))
    experiments.change("x", "drop", actor="ada", reason="no difference")
    with shop.engine.connect() as connection:
        (row,) = connection.execute(select(experiment_forecasts)).all()
    path = stagewise_estimate([0.25, 0.5, 1.0], [4.333, 2.963], relative / error)
    expected = {
        "primary": (error * path.drift, error * (path.high - path.low) / (2 * 1.959964)),
        "secondary": (relative, error),
    }
    assert (row.outcome, row.outcome_error) == pytest.approx(expected[role])
    assert row.look == 4
    assert expected["primary"][0] < relative


def planned_look(number: int, information: float, bound: float | None, is_planned: bool) -> dict[str, object]:
    """Return a row of the looks at the experiment x."""
    now = datetime.now(UTC)
    return {
        "experiment": "x", "epoch": 0, "number": number, "at": now, "log_until": now,
        "is_planned": is_planned, "information": information, "bound": bound, "units": {},
        "pending_units": 0, "crossed_units": 0, "alpha_spent": 0.05, "verdict": "undecided",
        "sentence": "b is not decided", "details": {},
    }  # fmt: skip


def test_an_experiment_of_flags_has_no_forecast(shop: Workspace) -> None:
    from tastemaker.experiments.design import VariantDesign

    flags = {"a": VariantDesign(share=500_000, value=1), "b": VariantDesign(share=500_000, value=2)}
    shop.experiments.create(experiment_homes.design("x", "", "", variants=flags), "ada")
    assert store_forecasts(shop, shop.experiments.get("x")) == []
