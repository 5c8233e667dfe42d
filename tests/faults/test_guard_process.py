"""The guard as a process: killed while another waits, and without its database."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import experiment_homes
from support.child_processes import ended
from support.commands import start
from support.experiment_homes import ExperimentHome
from tastemaker.experiments.tripped import Trip, TripFiles
from tastemaker.settings import load_settings
from tastemaker.storage.engine import open_engine

SECONDS = 120.0
COMMAND = ("tastemaker", "experiment", "guard", "--follow")
PROBLEM = "name: shop\nobjectives: [{name: sales, events: {purchase: {window_days: 3}}}]\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExperimentHome]:
    (tmp_path / "problem.yaml").write_text(PROBLEM)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(tmp_path / "problem.yaml"))
    engine = open_engine(load_settings().metadata_url)
    yield experiment_homes.make(engine, tmp_path, monkeypatch)
    engine.dispose()


def until(is_true: Callable[[], bool]) -> None:
    """Wait for something that has to become true."""
    end = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def test_a_killed_guard_is_replaced_by_the_one_that_waits(home: ExperimentHome, tmp_path: Path) -> None:
    home.running("ranker-2")
    lock = home.experiments.folder / "guard.lock"
    with ExitStack() as stack:
        first = start(tmp_path, *COMMAND)
        stack.enter_context(ended(first))
        until(lock.exists)
        second = start(tmp_path, *COMMAND)
        stack.enter_context(ended(second))
        assert second.stderr is not None
        assert "another guard runs" in second.stderr.readline()
        first.kill()
        lost = Trip("toy@v2", "its service could not be reached for 10 s", time.time())
        TripFiles(home.experiments.folder).add("ranker-2", 0, "b", lost)
        until(lambda: home.experiments.get("ranker-2").state == "rolled_back")
        assert home.experiments.history("ranker-2")[-1].actor == "guardrail:crash"
        second.send_signal(signal.SIGTERM)
        assert second.wait(SECONDS) == 0
