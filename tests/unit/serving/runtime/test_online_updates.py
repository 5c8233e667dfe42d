"""A service takes up what was learned of its version, and serves on where that can't be loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import learning_homes, served_homes
from tastemaker.online_learning.checkpoints import EMPTY, Checkpoints, LogPosition
from tastemaker.registry.artifact import load_version
from tastemaker.serving.inference.batcher import Batcher
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.serving.runtime.engine_metrics import EngineMetrics
from tastemaker.serving.runtime.online_updates import ModelRefresher


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Batcher]:
    version = served_homes.make_home(tmp_path / "home", ("thompson",))["thompson"]
    engine = Batcher("thompson", Predictor(load_version(version.folder)), lambda answers, timestamp: None)
    yield engine
    engine.close()


class Recorded(EngineMetrics):
    """Records what it is given; no Prometheus."""

    def __init__(self) -> None:
        self.answered_at, self.lag = 0.0, -1.0

    def lags(self, seconds: float) -> None:
        self.lag = seconds


def served(engine: Batcher) -> Predictor:
    assert engine.predictor is not None
    return engine.predictor


@pytest.mark.slow
def test_the_newest_state_is_served_and_nothing_else_changes(engine: Batcher, tmp_path: Path) -> None:
    before = served(engine)
    states = Checkpoints(tmp_path / "learning", before.loaded)
    watch = ModelRefresher(tmp_path / "learning", engine, Recorded(), seconds=1_000)
    assert served(engine) is before
    for until in (1, 2):
        model = load_version(tmp_path / "home" / "artifacts" / "thompson" / before.version).model
        model.update(
            learning_homes.logged_feedback(
                learning_homes.traffic(before.version, 20, seed=until), before.loaded
            )
        )
        name = states.save(model, LogPosition(until, EMPTY))
        watch.poll()
        after = served(engine)
        assert (after.learned, after.version, after.loaded) == (name, before.version, before.loaded)
        assert after.pipeline.overlay is before.pipeline.overlay
    assert before.learned is None
    watch.poll()
    assert served(engine) is after
    watch.close()
    again = ModelRefresher(
        tmp_path / "learning", engine, Recorded(), seconds=1_000
    )  # a restart begins with it
    assert served(engine).learned == name
    again.close()


def test_a_state_that_is_damaged_is_not_served(
    engine: Batcher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = served(engine)
    states = Checkpoints(tmp_path / "learning", before.loaded)
    name = states.save(before.loaded.model, LogPosition(1, EMPTY))
    (states.folder / name / "model" / "rewards.npy").write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        watch = ModelRefresher(tmp_path / "learning", engine, Recorded(), seconds=1_000)
        watch.poll()
    assert served(engine) is before
    assert [record.levelname for record in caplog.records] == ["ERROR"]  # once, however often it looks
    assert "rewards.npy" in caplog.text
    states.save(before.loaded.model, LogPosition(2, EMPTY))
    watch.poll()
    assert served(engine).learned is not None
    watch.close()


def test_another_version_that_came_meanwhile_stays(engine: Batcher) -> None:
    old = served(engine)
    other = Predictor(old.loaded)
    engine.swap(other)
    engine.swap(old.with_model(old.loaded.model, "late"), instead_of=old)
    assert served(engine) is other


def test_the_lag_is_the_age_of_the_oldest_answer_that_was_not_learned(
    engine: Batcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, recorded, now = served(engine), Recorded(), [learning_homes.END + 1_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    watch = ModelRefresher(tmp_path / "learning", engine, recorded, seconds=1_000)
    lags = [recorded.lag]
    for answered_at in (1_000, 1_007, 1_007, 1_020):
        recorded.answered_at, now[0] = learning_homes.END + answered_at, now[0] + 10
        watch.poll()
        lags.append(recorded.lag)
    assert lags == [0, 10, 20, 30, 40]
    for learned_until in (1_001, 1_010, 1_021):
        Checkpoints(tmp_path / "learning", before.loaded).save(
            before.loaded.model, LogPosition(learning_homes.END + learned_until, EMPTY)
        )
        watch.poll()
        lags.append(recorded.lag)
    assert lags[5:] == [33, 20, 0]
    watch.close()
