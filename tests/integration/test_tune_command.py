"""`tastemaker tune` as its users run it: killed, in two processes at once, over several processes."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from support import commands, small_shop
from support.child_processes import ended
from support.html_pages import faults, faults_in_a_browser
from support.small_lakes import make_lake
from support.tuning_worlds import PROBLEM, rows
from tastemaker.plugins import discovery
from tastemaker.tuning.trial import TrialBench
from tastemaker.workflows.workspace import Workspace

SECONDS = 300


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings = small_shop.settings(tmp_path / "home", problem=PROBLEM)
    make_lake(settings.lake, rows())
    return settings.home


def json_of(home: Path, *words: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(commands.done(home, "tastemaker", "tune", *words, "--json").stdout)
    return printed


def until(process: subprocess.Popen[str], line_starts: str) -> list[str]:
    """What it said on stderr up to a line that starts so."""
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if line.strip().startswith(line_starts):
            return said
    raise AssertionError(f"it ended before {line_starts!r}: {said}")


def test_killed_it_continues_and_loses_no_trial(home: Path, tmp_path: Path) -> None:
    killed = commands.start(home, "tastemaker", "tune", "bpr", "--trials", "200")
    with ended(killed):
        said = until(killed, "4 of 200")
    values = re.findall(r"of 200  (\S+)", "".join(said))
    assert len(values) == 4
    found = json_of(home, "bpr", "--trials", "7")
    assert len(found["trials"]) >= 7
    whole = small_shop.settings(tmp_path / "whole", problem=PROBLEM)
    make_lake(whole.lake, rows())
    at_once = json_of(whole.home, "bpr", "--trials", str(len(found["trials"])))
    figures = [(trial["params"], trial["value"]) for trial in found["trials"]]
    assert figures == [(trial["params"], trial["value"]) for trial in at_once["trials"]]
    assert values == [f"{value:.4f}" for _params, value in figures[: len(values)]]


def test_two_at_once_share_the_trials(home: Path) -> None:
    both = [commands.start(home, "tastemaker", "tune", "trending", "--trials", "8", "--json") for _ in "12"]
    with ended(*both):
        outputs = [process.communicate(timeout=SECONDS) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    first, second = (json.loads(out) for out, _err in outputs)
    assert first == second
    assert len(first["trials"]) == 8
    assert sum(err.count(" of 8") for _out, err in outputs) == 8


def test_over_processes_the_figures_are_the_same(home: Path) -> None:
    found = json_of(home, "item_knn", "--trials", "6", "--jobs", "2")
    plugin = discovery.get("item_knn")
    bench = TrialBench.inside(Workspace(small_shop.settings(home, problem=PROBLEM)).dataset(), plugin)
    assert len(found["trials"]) == 6
    for trial in found["trials"]:
        config = plugin.recommender.config_type(**trial["params"])
        assert bench.measure(config).value == pytest.approx(trial["value"], abs=1e-12)


def test_workers_end_with_their_parent(home: Path) -> None:
    parent = commands.start(home, "tastemaker", "tune", "bpr", "--trials", "500", "--jobs", "2")
    with ended(parent):
        until(parent, "2 of 500")
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.kill()
    _gone, alive = psutil.wait_procs(children, timeout=SECONDS)
    assert not alive


def test_a_worker_that_dies_is_reported_and_costs_no_trial(home: Path) -> None:
    parent = commands.start(home, "tastemaker", "tune", "bpr", "--trials", "500", "--jobs", "2")
    with ended(parent):
        until(parent, "2 of 500")
        children = psutil.Process(parent.pid).children(recursive=True)
        next(one for one in children if "spawn_main" in " ".join(one.cmdline())).kill()
        _out, err = parent.communicate(timeout=SECONDS)
    assert parent.returncode == 2
    assert "a worker process died" in err
    assert "fewer --jobs" in err
    assert "Traceback" not in err
    _gone, alive = psutil.wait_procs(children, timeout=SECONDS)
    assert not alive
    assert len(json_of(home, "bpr", "--trials", "3")["trials"]) >= 3


def test_what_it_shows(home: Path, tmp_path: Path) -> None:
    plot = tmp_path / "deep" / "plot.png"
    done = commands.done(home, "tastemaker", "tune", "trending", "--trials", "3", "--plot", str(plot))
    assert "3 of 3" in done.stderr
    assert "which the search has not seen" in done.stdout
    assert "0, before" in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    page = plot.with_suffix(".html")
    assert faults(page) == []
    assert faults_in_a_browser([page]) == {}
    shown = commands.done(home, "tastemaker", "models", "show", "trending").stdout
    assert "0.5 to 180 (log)" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "no model named 'nothing'"),
        (["popularity"], "no hyperparameter to search"),
        (["trending", "--for", "10"], "is not a duration above 0"),
        (["trending", "--trials", "0"], "--trials"),
    ],
)
def test_mistakes(home: Path, words: list[str], message: str) -> None:
    assert message in commands.done(home, "tastemaker", "tune", *words, status=2).stderr


def test_time_is_kept(home: Path) -> None:
    started = time.monotonic()
    found = json_of(home, "bpr", "--trials", "100000", "--for", "1s")
    assert 1 <= len(found["trials"]) < 100_000
    assert time.monotonic() - started < commands.LIMIT_SECONDS
