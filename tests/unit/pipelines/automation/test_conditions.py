"""Each condition of retraining, case by case, as Dagster evaluates it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from support import small_shop
from support.automation_worlds import BACKTEST, MODEL, VERSION, AutomatedModel, hours
from tastemaker_pipelines.automation import conditions
from tastemaker_pipelines.automation.conditions import ModelRules
from tastemaker_pipelines.automation.records import BY_CONDITION, AssetRecords

pytestmark = pytest.mark.filterwarnings("ignore:Parameter `include_sources`")  # of Dagster's own evaluator
TRAINED = {f"backtests/{MODEL}", f"models/{MODEL}", "leaderboard"}
REASONS, HOLDS = set(conditions.REASONS), set(conditions.HOLDS)


Deed = Callable[[AutomatedModel], object]


class Case(NamedTuple):
    """What has happened, and what an evaluation then comes to."""

    name: str
    at: float
    happened: tuple[Deed, ...]
    reasons: frozenset[str] = frozenset()
    unmet: str = ""
    """The condition beside the reasons that is not met."""


def trains(name: str, at: float, reasons: str, *happened: Deed) -> Case:
    return Case(name, at, happened, frozenset(reasons.split()))


def waits(name: str, at: float, reason: str, unmet: str, *happened: Deed) -> Case:
    return Case(name, at, happened, frozenset({reason}), unmet)


def rests(name: str, at: float, *happened: Deed) -> Case:
    return Case(name, at, happened)


def landed(at: float, version: str, *names: str, sound: bool = True) -> Callable[[AutomatedModel], None]:
    return lambda model: model.land(hours(at), version, names=names or ("events", "items"), sound=sound)


def trained(at: float, data: str, result: str | None = None) -> Callable[[AutomatedModel], None]:
    return lambda model: model.train(hours(at), data, result=result)


def drifted(at: float, since: float | None, model: str = MODEL) -> Callable[[AutomatedModel], None]:
    began = None if since is None else hours(since)
    return lambda world: world.report_drift(hours(at), began, model)


def measured(fresh: float = 0.2, per_week: float = 0.02) -> Callable[[AutomatedModel], None]:
    return lambda model: model.measure_loss(fresh=fresh, per_week=per_week)


def running(at: float, *keys: str) -> Callable[[AutomatedModel], object]:
    known = {"backtest": BACKTEST, "model": VERSION}
    return lambda model: model.start_run(hours(at), *(known[key] for key in keys))


def failed(at: float) -> Callable[[AutomatedModel], None]:
    return lambda model: model.fail(model.start_run(hours(at), BACKTEST, VERSION))


def usual(model: AutomatedModel) -> None:
    """The model was trained on the newest data after an hour. The smallest gap is 6 hours."""
    model.land(hours(0), "one")
    model.train(hours(1), "one")


CASES = [
    waits("nothing landed yet", 0, "first", "inputs_ready"),
    waits("only a part landed", 1, "first", "inputs_ready", landed(0, "one", "events")),
    trains("never trained", 1, "first", landed(0, "one")),
    rests("nothing has changed", 100, usual),
    rests("landed again without a change", 100, usual, landed(50, "one")),
    trains("new events", 8, "new_data", usual, landed(7, "two", "events")),
    trains("new items", 8, "new_data", usual, landed(7, "two", "items")),
    waits("new data within the gap", 6.9, "new_data", "min_gap", usual, landed(5, "two")),
    trains("new data at the end of the gap", 7, "new_data", usual, landed(5, "two")),
    trains("no gap after an idle run", 20, "new_data", usual, trained(19, "one"), landed(19, "two")),
    rests("data that changed and changed back", 9, usual, landed(7, "two"), landed(8, "one")),
    trains("new data during a training", 20, "new_data", landed(0.9, "two"), trained(1, "one")),
    waits("it is trained", 8.1, "new_data", "not_running", usual, landed(7, "two"), running(8, "backtest")),
    waits(
        "its version is fitted", 8.1, "new_data", "not_running", usual, landed(7, "two"), running(8, "model")
    ),
    waits("a refused batch", 8, "new_data", "inputs_sound", usual, landed(7, "two", sound=False)),
    waits("a failed run", 8.9, "new_data", "no_failure", usual, landed(7, "two"), failed(8)),
    trains("a run that failed an hour ago", 9, "new_data", usual, landed(7, "two"), failed(8)),
    waits("the first run failed", 1.5, "first", "no_failure", landed(0, "one"), failed(1)),
    rests("no loss was measured", 10_000, usual),
    rests("a loss that may be 0", 10_000, usual, measured(per_week=0.0)),
    rests("a loss that takes ages", 10_000, usual, measured(per_week=1e-12)),
    rests("84 hours until 5 % of 0.2 are lost at 0.02 per week", 84.9, usual, measured()),
    trains("after 84 hours", 85, "stale", usual, measured()),
    rests("trained in time", 160, usual, measured(), trained(80, "one")),
    rests("drift of data that it has learned from", 8, usual, drifted(7.5, since=7)),
    trains("drift with new data", 8, "new_data drift", usual, landed(7, "two"), drifted(7.5, since=7)),
    trains("drift within the gap", 3, "new_data drift", usual, landed(2, "two"), drifted(2.5, since=2)),
    rests("drift of another model", 8, usual, drifted(7.5, since=7, model="ease")),
    rests("no drift", 8, usual, drifted(7.5, since=None)),
    rests("drift that is over", 9, usual, drifted(7.5, since=7), drifted(8, since=None)),
    trains("two reasons", 86, "new_data stale", usual, measured(), landed(80, "two")),
]


@pytest.fixture
def model(tmp_path: Path) -> AutomatedModel:
    return AutomatedModel(tmp_path / "home")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_when_a_model_is_trained(case: Case, model: AutomatedModel) -> None:
    for deed in case.happened:
        deed(model)
    found = model.evaluate(hours(case.at))
    assert found.met & REASONS == case.reasons
    assert case.unmet not in found.met
    requested = bool(case.reasons) and not case.unmet
    assert found.requested == (TRAINED if requested else found.requested - {f"backtests/{MODEL}"})
    if requested:
        assert found.met >= HOLDS
    assert all(found.details[name] for name in REASONS), "each reason is explained"


@pytest.mark.slow
def test_drift_trains_once_until_a_report_is_without_it(model: AutomatedModel) -> None:
    def trains(at: float) -> bool:
        return f"backtests/{MODEL}" in model.evaluate(hours(at)).requested

    def lands_and_drifts(at: float, since: float | None) -> None:
        model.land(hours(at), f"of hour {at}")
        model.report_drift(hours(at), None if since is None else hours(since))

    def train(at: float, data: float) -> None:
        model.train(hours(at), f"of hour {data}")

    def drifted(at: float) -> bool:
        return "drift" in model.evaluate(hours(at)).met

    usual(model)
    model.report_drift(hours(24), hours(24))
    assert not drifted(25), "no data is new"
    model.train(hours(26), "one")
    lands_and_drifts(27, since=24)
    assert trains(27.5), "a run that found nothing to train is not a training, and the drift does not wait"
    train(28, data=27)
    for night in (48, 72):
        lands_and_drifts(night, since=24)
        assert not drifted(night + 1), "the drift lasts until traffic shows the new version"
        train(night + 2, data=night)
    lands_and_drifts(96, since=None)
    assert not drifted(97)
    train(98, data=96)
    lands_and_drifts(120, since=120)
    assert drifted(121), "it is another drift"


@pytest.mark.slow
@pytest.mark.parametrize("most", [0, 1, 3])
def test_how_often_drift_trains_is_a_setting(most: int, tmp_path: Path) -> None:
    model = AutomatedModel(tmp_path / "home", automation={"drift_trainings": most})
    usual(model)
    count = 0
    for day in range(1, 6):
        model.land(hours(24 * day), f"day {day}")
        model.report_drift(hours(24 * day), hours(24))
        if "drift" in model.evaluate(hours(24 * day + 1)).met:
            count += 1
        model.train(hours(24 * day + 2), f"day {day}")
    assert count == most


@pytest.mark.slow
def test_other_code_is_a_reason(model: AutomatedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    usual(model)
    assert not model.evaluate(hours(8)).met & REASONS
    monkeypatch.setattr(conditions, "model_code_version", lambda plugin: "2.0")
    found = model.evaluate(hours(9))
    assert (found.met & REASONS, found.requested) == ({"changed_code"}, TRAINED)
    assert found.details["changed_code"].endswith("2.0 now")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"seed": 5}, {"problem": small_shop.PROBLEM.replace("weight: 0.5", "weight: 0.6")}]
)
def test_another_config_is_a_reason(change: dict[str, Any], model: AutomatedModel) -> None:
    usual(model)
    assert not model.evaluate(hours(8)).met & REASONS
    model.configure(**change)
    found = model.evaluate(hours(9))
    assert (found.met & REASONS, found.requested) == ({"changed_config"}, TRAINED)
    model.train(hours(10), "one", result="with another config")
    assert not model.evaluate(hours(20)).met & REASONS


def test_without_a_gap_new_data_trains_at_once(tmp_path: Path) -> None:
    model = AutomatedModel(tmp_path / "home", automation={"min_gap_hours": 0})
    usual(model)
    model.land(hours(1.1), "two")
    assert f"backtests/{MODEL}" in model.evaluate(hours(1.1)).requested


@pytest.mark.slow
def test_a_night_without_a_change_trains_nothing_and_a_changed_one_trains_once(model: AutomatedModel) -> None:
    trainings = []
    for night, data in enumerate(["one", "one", "one", "two", "two", "three", "three"]):
        model.land(hours(24 * night), data)
        for hour in (1, 2, 3):
            found = model.evaluate(hours(24 * night + hour))
            if f"backtests/{MODEL}" in found.requested:
                trainings.append((night, hour))
                model.train(hours(24 * night + hour), data)
                model.compare(hours(24 * night + hour), data)
            elif night:
                assert found.requested == set()
    assert trainings == [(0, 1), (3, 1), (5, 1)]


@pytest.mark.slow
def test_a_comparison_follows_though_another_model_was_never_trained(model: AutomatedModel) -> None:
    usual(model)
    assert model.evaluate(hours(1.5)).requested == {"leaderboard"}
    model.compare(hours(2), "one")
    assert model.evaluate(hours(3)).requested == set()


@pytest.mark.slow
def test_a_daemon_that_has_forgotten_all_decides_the_same(model: AutomatedModel) -> None:
    usual(model)
    model.land(hours(7), "two")
    first = model.evaluate(hours(8))
    again = model.evaluate(hours(9))
    model.cursor = None
    assert first.requested == again.requested == model.evaluate(hours(10)).requested == TRAINED


@pytest.mark.parametrize(("tags", "is_met"), [({BY_CONDITION: "true"}, False), ({}, True)])
def test_a_condition_that_no_training_answers_starts_a_gap(
    tags: dict[str, str], is_met: bool, model: AutomatedModel
) -> None:
    @dg.asset(key=BACKTEST, code_version="1")
    def backtest() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(data_version=dg.DataVersion("the same"))

    for at, its in ((hours(0), dict[str, str]()), (hours(24), tags)):
        with freeze_time(at):
            dg.materialize([backtest], instance=model.instance, tags=its)
    graph = dg.Definitions(assets=[backtest]).resolve_asset_graph()
    records = AssetRecords(model.instance, graph, BACKTEST, hours(25))
    assert ModelRules(model.plugin, model.workspace).min_gap(records).is_met == is_met
