"""Faults and alert rules belong together, and a fault ends by itself."""

from __future__ import annotations

import importlib
import json
import os
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from tastemaker.alerting.rules import all_rules
from tastemaker.plugins import Batch, Events, History, TrainingData
from tastemaker.settings import Settings
from tastemaker.simulator.faults import switch
from tastemaker.simulator.faults.catalogue import FAULTS, NOT_PRODUCED, Fault
from tastemaker.simulator.faults.produced import SHIFTS, produce
from tastemaker.simulator.faults.switch import NAME, switched_on
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shifts import Shift, ShiftKind
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.fault_injection import Faults, fault_rates
from tastemaker.workflows.faults.faulty_version import plugin_folder
from tastemaker.workflows.faults.feature_values import ALTERED
from tastemaker.workflows.faults.hung_processes import WANTED
from tastemaker.workflows.faults.in_force import ENTERED, ITEMS, LOCKED, LOST, VERSIONS

N_USERS, N_ITEMS = 1_000, 5


def test_each_rule_has_a_fault_or_a_reason_why_none_is_produced() -> None:
    rules = {rule.name for rule in all_rules(Settings())}
    found = {name for fault in FAULTS.values() for name in fault.rules}
    assert found - rules == set()
    assert set(NOT_PRODUCED) - rules == set()
    assert rules - found - set(NOT_PRODUCED) == set()
    assert found & set(NOT_PRODUCED) == set()


def test_each_fault_is_produced_where_the_catalogue_says() -> None:
    traffic = {field.name for field in fields(Faults)}
    in_force = {*LOCKED, *ALTERED, *WANTED, *ITEMS, *ENTERED, *VERSIONS, LOST}
    for name, fault in FAULTS.items():
        produced = produce({name: 0.5})
        assert (name in produced.model) == (fault.place == "model")
        assert (name in produced.shifts) == (fault.place == "shop") == (name in SHIFTS)
        assert (name in traffic) == (fault.place == "traffic")
        assert bool(fault.environment) or fault.place != "start"
        assert (name in in_force) == (fault.place not in ("model", "shop", "source", "start", "traffic"))
        if fault.place == "source":
            assert fault.does.split("kind = ")[1].split('"')[1] in get_args(ShiftKind)


@pytest.mark.parametrize(
    "fault", [one for one in FAULTS.values() if one.environment], ids=lambda one: one.name
)
def test_a_command_accepts_the_settings_of_a_fault(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in fault.environment:
        monkeypatch.setenv(name, text)
    plain = Settings()
    monkeypatch.undo()
    assert plain != Settings()


def batch() -> Batch:
    users = np.arange(N_USERS, dtype=np.int32)
    return Batch(users, History.empty(N_USERS, N_ITEMS), np.arange(N_USERS, dtype=np.uint64), now=10)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """The fitted model, whose file is in the home `tmp_path`."""
    monkeypatch.syspath_prepend(str(plugin_folder()))
    module = importlib.import_module("tastemaker_faulty.model")

    monkeypatch.setattr(module, "READ_SECONDS", 0.0)
    items = np.array([0, 1, 1], np.int32)
    events = Events(np.zeros(3, np.int32), items, np.ones(3, np.float32), np.arange(3))
    return module.Faulty(switch=str(tmp_path / NAME)).fit(
        TrainingData(events, n_users=N_USERS, n_items=N_ITEMS, end=10)
    )


def test_a_tenth_of_the_users_gets_scores_that_are_not_numbers_until_the_block_ends(
    model: object, tmp_path: Path
) -> None:
    def invalid() -> set[int]:
        return set(np.flatnonzero(np.isnan(model.recommend(batch(), 2).scores).any(1)).tolist())  # type: ignore[attr-defined]

    assert invalid() == set()
    with switched_on(tmp_path, {"nan_scores": 0.1}):
        first = invalid()
        assert 0.07 < len(first) / N_USERS < 0.13
        assert invalid() == first, "they are the same users each time"
    assert invalid() == set()
    assert not (tmp_path / NAME).exists()


def test_without_a_model_the_process_that_was_sound_ends_and_the_next_one_is_refused(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process, signal: killed.append(process))
    sound = model.recommend(batch(), 2).scores
    with switched_on(tmp_path, {"no_model": 1.0}):
        model.recommend(batch(), 2)
        assert killed == [os.getpid()]
        monkeypatch.setattr(type(model), "_was_sound", False)
        assert (model.recommend(batch(), 2).scores != sound).any()
    assert killed == [os.getpid()]


def test_a_fault_whose_simulator_was_killed_expires(
    model: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / NAME
    path.parent.mkdir()
    path.write_text(json.dumps({"faults": {"model_error": 1.0}, "expires_at": time.time() + 60}))
    with pytest.raises(RuntimeError, match="a simulated fault"):
        model.recommend(batch(), 2)  # type: ignore[attr-defined]
    path.write_text(json.dumps({"faults": {"model_error": 1.0}, "expires_at": time.time() - 1}))
    assert len(model.recommend(batch(), 2).items) == N_USERS  # type: ignore[attr-defined]


def test_faults_that_last_are_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "RENEW_SECONDS", 0.01)
    path = tmp_path / NAME
    with switched_on(tmp_path, {"model_hang": 1.0}):
        first = json.loads(path.read_text())["expires_at"]
        give_up = time.monotonic() + 10
        while json.loads(path.read_text())["expires_at"] <= first and time.monotonic() < give_up:
            time.sleep(0.01)
        assert json.loads(path.read_text())["expires_at"] > first


def test_new_faults_of_the_traffic_do_not_change_the_others() -> None:
    base = dict.fromkeys(("dropped", "repeated", "late", "skewed", "orphaned", "reshown", "slow"), 0.5)
    for visit in range(50):
        both = [fault_rates(Faults(**base, feedback_gone=share), 0, visit) for share in (0.0, 1.0)]
        assert both[1] == both[0]._replace(feedback_gone=True)


@pytest.mark.parametrize("kind", ["audience", "catalogue", "closed", "invalid_rows", "price", "taste"])
def test_a_shift_changes_its_days_and_none_before(kind: str) -> None:
    config = ShopConfig(n_days=4, n_users=300, n_items=60, events_per_day=400)
    plain = Shop(config)
    shift = Shift(kind=kind, day=2, size=0.5)
    changed = Shop(config.model_copy(update={"shifts": (shift,)}))
    digests = [list(shop.days().values()) for shop in (plain, changed)]
    assert [one == other for one, other in zip(*digests, strict=True)] == [True, True, False, False]
    days = list(plain.days())
    rows = [[list(shop.read([day])) for day in days] for shop in (plain, changed)]
    assert rows[0][:2] == rows[1][:2]
    assert all(one != other for one, other in zip(rows[0][2:], rows[1][2:], strict=True))


def test_shifts_have_the_size_that_they_name() -> None:
    config = ShopConfig(n_days=4, n_users=2_000, n_items=200, events_per_day=2_000)

    def shop(kind: str, size: float) -> Shop:
        return Shop(config.model_copy(update={"shifts": (Shift(kind=kind, day=2, size=size),)}))

    dearer = shop("price", 0.3)
    ratio = dearer.on(2)[0].prices / dearer.on(1)[0].prices
    np.testing.assert_allclose(ratio, 1.3, rtol=0.02)
    assert dearer.items()["price"].to_pylist() == dearer.on(3)[0].prices.tolist()
    campaign = shop("audience", 0.4)
    events = campaign.draw_day(3)
    assert np.mean(campaign.population.countries[events.users] == 6) == pytest.approx(0.4, abs=0.1)
    fewer = shop("catalogue", 0.25)
    gone = [set(fewer.catalogue.categories[fewer.draw_day(day).items].tolist()) for day in (1, 3)]
    assert len(gone[0] - gone[1]) == 3
    [table] = shop("invalid_rows", 0.2).read([list(fewer.days())[2]])
    assert np.mean(np.array(table["value"].to_pylist()) < 0) == pytest.approx(0.2, abs=0.03)
