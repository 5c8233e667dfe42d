"""Hyperparameter search: it finds the known best, never sees the test period, and can be continued."""

from __future__ import annotations

import json
from concurrent.futures import BrokenExecutor, Future
from contextlib import ExitStack
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from support.evaluation_worlds import Scripted
from support.small_lakes import DAY, START, Row
from support.tuning_worlds import AIMS, BEST, DAYS, SHORT_AIMS, TEST_DAYS, AimConfig, Aims, rows, world
from tastemaker.errors import PluginError, TastemakerError
from tastemaker.evaluation import results
from tastemaker.plugins import Config, TrainingData, discovery
from tastemaker.plugins.discovery import Plugin
from tastemaker.tuning import best_config, report
from tastemaker.tuning.outcome import TuningResult
from tastemaker.tuning.plot import draw
from tastemaker.tuning.search import Loop
from tastemaker.tuning.storage import storage
from tastemaker.tuning.study import Study, TrialResult
from tastemaker.tuning.trial import MachineError, Measured, TrialBench
from tastemaker.workflows.training.version import train
from tastemaker.workflows.tune import tune
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.slow

CUT = START + (DAYS - TEST_DAYS) * DAY
SPACE_OF_ONE = {"aim": AimConfig.model_fields["aim"].metadata[0]}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    return tune(world(tmp_path_factory.mktemp("found")), AIMS, trials=25)


def test_what_is_clearly_best_is_found(found: TuningResult) -> None:
    assert found.config["side"] == "right"
    assert abs(found.config["aim"] - BEST) < 1.5
    assert (found.best.value or 0) > (found.base.value or 0) + 0.3
    assert found.difference.low > 0.3


def test_the_first_trial_is_the_config_as_it_was(found: TuningResult) -> None:
    assert found.trials[0] == found.base
    assert found.base.params == {"aim": 1.0, "side": "wrong"}
    assert [trial.number for trial in found.trials] == list(range(25))


def test_nothing_of_the_test_period_is_seen(tmp_path: Path) -> None:
    """The same search where the test period holds other purchases, by others, of other things."""
    past = [row for row in rows() if START + row.seconds < CUT]
    poison = [Row(f"unknown {n}", f"trap {n % 3}", (DAYS - 1) * DAY + n) for n in range(200)]
    poison += [Row("user 00", "item 00", (DAYS - TEST_DAYS) * DAY)] * 50
    Aims.latest.clear()
    clean, other = (
        tune(world(tmp_path / name, events), AIMS, trials=8)
        for name, events in (("clean", rows()), ("other", past + poison))
    )
    assert clean.study == other.study
    assert _values(clean) == _values(other)
    assert clean.config == other.config
    searched = CUT - TEST_DAYS * DAY
    assert max(Aims.latest[:8]) < searched  # each trial; the two backtests after them reach to the cut
    assert clean.backtest.metrics != other.backtest.metrics


def test_the_bench_ends_where_the_test_period_starts(tmp_path: Path) -> None:
    bench = TrialBench.inside(world(tmp_path).dataset(), AIMS)
    assert bench.split.end == CUT
    assert bench.split.cut == CUT - TEST_DAYS * DAY
    assert int(bench.split.train.events.times[-1]) < bench.split.cut


def test_continuing_is_not_starting_again(tmp_path: Path) -> None:
    opened = world(tmp_path / "in parts")
    reported: list[int] = []
    tune(opened, AIMS, trials=4)
    tune(opened, AIMS, trials=9, progress=lambda trial, best, ended: reported.append(trial.number))
    assert reported == [4, 5, 6, 7, 8]
    whole = tune(world(tmp_path / "at once"), AIMS, trials=9)
    again = tune(opened, AIMS, trials=9)
    assert _values(again) == _values(whole)
    assert again.config == whole.config


def test_another_seed_tries_other_configs(tmp_path: Path) -> None:
    one, two = (tune(world(tmp_path / str(seed), seed=seed), AIMS, trials=4) for seed in (0, 1))
    assert one.study != two.study
    assert _values(one)[0] == _values(two)[0]
    assert _values(one)[1:] != _values(two)[1:]


def test_time_that_is_over_still_allows_the_first_trial(tmp_path: Path) -> None:
    assert len(tune(world(tmp_path), AIMS, trials=50, seconds=1e-9).trials) == 1


def test_training_uses_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "get", lambda name: AIMS)
    opened = world(tmp_path)
    before = opened.backtest(AIMS)
    found = tune(opened, AIMS, trials=10)
    assert opened.config(AIMS) == AimConfig(**found.config)
    assert train(opened, AIMS).manifest.config == AimConfig(**found.config).model_dump()
    assert [one.id for one in results.newest(opened.engine, "tastes")] == [found.backtest.id]
    assert found.base_backtest.id == before.id
    written = json.loads(found.path.read_text("utf-8"))
    assert written["study"]["name"] == found.study
    assert written["study"]["value_before"] == found.base.value
    found.path.unlink()
    assert opened.config(AIMS) == AimConfig()
    assert opened.backtest(AIMS) == before
    assert [one.id for one in results.newest(opened.engine, "tastes")] == [before.id]


def test_what_a_person_fixed_is_not_searched(tmp_path: Path) -> None:
    opened = world(tmp_path, models={"aims": {"side": "right"}})
    found = tune(opened, AIMS, trials=6)
    assert found.config.keys() == {"aim"}
    assert opened.config(AIMS) == AimConfig(aim=found.config["aim"], side="right")
    fixed = world(tmp_path, models={"aims": {"side": "right", "aim": 3.0}})
    assert fixed.config(AIMS).aim == 3.0  # type: ignore[attr-defined]
    with pytest.raises(TastemakerError, match=r"toml sets all of its search space"):
        tune(fixed, AIMS)


def test_another_problem_has_a_config_of_its_own(tmp_path: Path) -> None:
    opened = world(tmp_path)
    tune(opened, AIMS, trials=6)
    text = opened.settings.problem.read_text().replace("name: tastes", "name: 'ta/ste$: ü'")
    opened.settings.problem.write_text(text)
    other = world_again(opened)
    assert other.config(AIMS) == AimConfig()
    found = tune(other, AIMS, trials=2)
    assert found.path.parent.parent == opened.settings.home / "tuned"
    opened.settings.problem.unlink()
    assert world_again(opened).config(AIMS) == AimConfig()


def world_again(opened: Any) -> Any:
    return type(opened)(opened.settings)


def test_a_model_that_fails_with_some_configs(tmp_path: Path) -> None:
    opened = world(tmp_path, models={"aims": {"fails_above": 5.0}})
    found = tune(opened, AIMS, trials=12)
    failed = [trial for trial in found.trials if trial.value is None]
    assert failed
    assert all(trial.params["aim"] > 5 and "must be at most 5" in (trial.error or "") for trial in failed)
    assert found.config["aim"] <= 5
    assert len(tune(opened, AIMS, trials=12).trials) == 12
    draw(found, tmp_path / "plot.png")
    report.to_dict(found)


def test_values_that_the_config_refuses_together_are_a_failed_trial(tmp_path: Path) -> None:
    opened = world(tmp_path)
    found = tune(opened, SHORT_AIMS, trials=15)
    assert len(found.trials) == 15
    for trial in found.trials:
        refused = trial.params["aim"] > trial.params["at_most"]
        assert (trial.value is None) == refused
        assert trial.error == ("aim must be at most at_most" if refused else None)
    assert len({trial.value is None for trial in found.trials}) == 2
    assert found.config["aim"] <= found.config["at_most"]


class Sides:
    """A search over the side alone, which proposes each again and again; the right one fails."""

    def __init__(self, kept: BaseStorage, *failures: BaseException) -> None:
        self.kept, self.failures, self.fitted = kept, list(failures), list[str]()

    def run(self, trials: int) -> list[TrialResult]:
        """Continue until so many trials have ended, and return them."""
        space = {"side": AimConfig.model_fields["side"].metadata[0]}
        study = Study(self.kept, "sides", space, {"side": "wrong"}, larger_is_better=True, seed=0)
        Loop(study, AimConfig(), self._submit, jobs=1, trials=trials, until=None, progress=None).run()
        return study.tried()

    def _submit(self, config: Config) -> Future[Measured]:
        assert isinstance(config, AimConfig)
        self.fitted.append(config.side)
        future: Future[Measured] = Future()
        if config.side == "right" and self.failures:
            future.set_exception(self.failures.pop(0))
        else:
            future.set_result(Measured(0.5, 1.0))
        return future


def test_a_config_that_failed_is_not_fitted_again(engine: Engine, tmp_path: Path) -> None:
    with storage(world(tmp_path).settings, engine) as kept:
        sides = Sides(kept, *(PluginError(f"attempt {n} failed") for n in range(20)))
        first = sides.run(10)
        both = sides.run(20)  # as after a restart
    assert sides.fitted == ["wrong", "right"]
    assert both[:10] == first
    failed = [one for one in both if one.params == {"side": "right"}]
    assert len(failed) > 2
    assert {(one.value, one.error) for one in failed} == {(None, "attempt 0 failed")}


def test_a_config_is_fitted_again_if_its_machine_lacked_something(engine: Engine, tmp_path: Path) -> None:
    with storage(world(tmp_path).settings, engine) as kept:
        sides = Sides(kept, MachineError("out of memory"), MachineError("out of memory"))
        found = sides.run(20)
    assert sides.fitted == ["wrong", "right", "right", "right"]
    errors = [one.error for one in found if one.params == {"side": "right"}]
    assert errors[:3] == ["out of memory", "out of memory", None]
    assert not any(errors[3:])


def test_an_interrupted_trial_is_done_again(engine: Engine, tmp_path: Path) -> None:
    with storage(world(tmp_path).settings, engine) as kept:
        sides = Sides(kept, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            sides.run(20)
        found = sides.run(20)
    assert sides.fitted == ["wrong", "right", "right"]
    assert [one.error for one in found] == [None] * 20


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError("no 8 GB"), MachineError),
        (OSError(28, "No space left on device"), MachineError),
        (ModuleNotFoundError("no lightgbm"), MachineError),
        (BrokenExecutor("a process was killed"), MachineError),
        (ValueError("aim must be less"), PluginError),
        (PluginError("aim must be less"), PluginError),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_failure_is_the_configs_or_the_machines(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    expected: type[PluginError],
    is_wrapped: bool,
) -> None:
    """Also where the model raises an error of its own for it, and after the way from a worker process."""

    def fit(self: Aims, data: TrainingData) -> Aims:
        try:
            raise raised
        except Exception as error:
            if is_wrapped:
                raise RuntimeError("the fit failed") from error
            raise

    monkeypatch.setattr(Aims, "fit", fit)
    bench = TrialBench.inside(world(tmp_path).dataset(), AIMS)
    with pytest.raises(PluginError) as caught:
        bench.measure(AimConfig())
    worker, parent = Pipe()
    worker.send(caught.value)
    received = parent.recv()
    assert type(received) is expected
    assert received.problem == caught.value.problem != ""


def test_a_model_that_fails_as_it_is(tmp_path: Path) -> None:
    opened = world(tmp_path, models={"aims": {"fails_above": 0.5}})
    for _ in range(2):
        with pytest.raises(PluginError, match=r"aim is 1\.0, must be at most 0\.5"):
            tune(opened, AIMS, trials=3)
    assert not (tmp_path / "tuned").exists()


def test_a_model_without_a_search_space(tmp_path: Path) -> None:
    with pytest.raises(TastemakerError, match="no hyperparameter to search: its search space is empty"):
        tune(
            world(tmp_path), Plugin("scripted", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
        )


def test_too_little_data_to_split_again(tmp_path: Path) -> None:
    opened = world(tmp_path, [row for row in rows() if row.seconds < (TEST_DAYS + 1) * DAY])
    with pytest.raises(TastemakerError, match="the training window can't be split again") as error:
        tune(opened, AIMS)
    assert "split.test_days" in str(error.value.fix)


def test_a_broken_file_is_reported(tmp_path: Path) -> None:
    opened = world(tmp_path)
    path = best_config.path_of(tmp_path, "tastes", "aims")
    path.parent.mkdir(parents=True)
    for text in ("{", "{}", '{"config": 3}'):
        path.write_text(text)
        with pytest.raises(TastemakerError, match=r"aims\.json, the config that tuning found") as error:
            opened.config(AIMS)
        assert "delete it" in str(error.value.fix)
    path.write_text('{"config": {"aim": 3, "gone": 1}}')
    with pytest.raises(TastemakerError, match="gone = 1") as error:
        opened.config(AIMS)
    assert "tune aims" in str(error.value.fix)


def test_the_pictures_and_the_json(found: TuningResult, tmp_path: Path) -> None:
    draw(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    printed = json.loads(json.dumps(report.to_dict(found), allow_nan=False))
    assert printed["test"]["difference"]["n"] == found.backtest.users
    assert printed["space"]["aim"] == {"low": 0, "high": 10, "log": False}
    assert len(printed["trials"]) == 25


def test_a_trial_that_died_is_done_again_and_none_that_ended_is_lost(engine: Engine, tmp_path: Path) -> None:
    opened = world(tmp_path)

    stack = ExitStack()

    def study(name: str) -> Study:
        kept = stack.enter_context(storage(opened.settings, engine))
        return Study(kept, name, SPACE_OF_ONE, {"aim": 2.0}, larger_is_better=True, seed=0)

    def run(one: Study, n: int) -> list[float]:
        for _ in range(n):
            trial = one.ask()
            one.record(trial, -abs(trial.params["aim"] - BEST), 0.1)
        return [trial.params["aim"] for trial in one.tried()]

    first = study("killed")
    run(first, 3)
    lost = first.ask().params  # and the process dies
    second = study("killed")
    assert len(second.tried()) == 3
    aims = run(second, 12)
    assert aims[0] == 2.0
    assert aims[3] == lost["aim"]
    assert abs((second.best or second.tried()[0]).params["aim"] - BEST) < 1
    np.testing.assert_array_equal(run(study("whole"), 15), aims)
    stack.close()


@pytest.mark.parametrize("seconds", [None, 1e-9])
def test_the_config_in_use_is_measured_though_it_was_lost_and_others_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float | None
) -> None:
    """Of two workers the one with the first trial dies, after the other has measured enough."""
    opened = world(tmp_path)
    monkeypatch.setattr(Loop, "run", lose_the_first_trial)
    with pytest.raises(TastemakerError, match="no config of aims was measured"):
        tune(opened, AIMS, trials=3)
    monkeypatch.undo()
    found = tune(opened, AIMS, trials=3, seconds=seconds)
    assert found.base.params == {"aim": 1.0, "side": "wrong"}
    assert found.base.value is not None
    assert len(found.trials) == 4


def lose_the_first_trial(loop: Loop) -> None:
    """Run three trials beside the first one, whose process dies."""
    loop.study.ask()
    for _ in range(3):
        loop.study.record(loop.study.ask(), 0.1, 0.1)


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = world(tmp_path)
    tune(opened, AIMS, trials=2)

    def full(*_args: object, **_named: object) -> None:
        raise StorageInternalError from OperationalError("", None, Exception("database or disk is full"))

    monkeypatch.setattr("optuna.storages.RDBStorage.set_trial_state_values", full)
    with pytest.raises(TastemakerError, match=r"tuning\.db: database or disk is full"):
        tune(opened, AIMS, trials=3)
    monkeypatch.undo()
    assert len(tune(opened, AIMS, trials=3).trials) == 3


def test_what_was_fixed_at_its_default_is_another_search(tmp_path: Path) -> None:
    opened = world(tmp_path)
    free = tune(opened, AIMS, trials=2)
    settings = opened.settings.model_copy(update={"models": {"aims": {"side": "wrong"}}})
    fixed = tune(Workspace(settings), AIMS, trials=2)
    assert fixed.study != free.study
    assert fixed.config.keys() == {"aim"}


def _values(found: TuningResult) -> list[tuple[dict[str, Any], float | None]]:
    return [(trial.params, trial.value) for trial in found.trials]
