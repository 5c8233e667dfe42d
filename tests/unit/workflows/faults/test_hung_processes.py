"""Processes that hang: stopped within the block, and continued however the simulator ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from support.repository import ROOT
from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.workflows.faults.continue_processes import continue_all, name_of
from tastemaker.workflows.faults.hung_processes import RUNS, WANTED, hanging, processes

pytestmark = pytest.mark.processes
WAITS = "import sys; print(flush=True); sys.stdin.read()"
LISTENS = (
    "import socket, sys; one = socket.create_server(('127.0.0.1', {})); print(flush=True); sys.stdin.read()"
)
URL = "http://127.0.0.1:{}"


@contextmanager
def process(home: Path, *words: str, code: str = WAITS) -> Iterator[psutil.Process]:
    """A process with these words in its command line, for a home folder."""
    environment = os.environ | {"TASTEMAKER_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        try:
            yield psutil.Process(started.pid)
        finally:
            os.kill(started.pid, signal.SIGCONT)


def is_stopped(one: psutil.Process) -> bool:
    return bool(one.status() == psutil.STATUS_STOPPED)


def until(one: psutil.Process, *, stopped: bool) -> None:
    give_up = time.monotonic() + 30
    while is_stopped(one) is not stopped:
        assert time.monotonic() < give_up
        time.sleep(0.01)


COMMANDS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("learner_hang", ("/venv/bin/tastemaker", "learn", "--follow")),
    ("shipper_hang", ("tastemaker.cli.main", "ship")),
    ("guard_hang", ("tastemaker", "experiment", "guard", "--follow")),
    ("scheduler_hang", ("dagster._daemon", "run")),
    ("executor_hang", ("/venv/bin/celery", "-A", "app", "worker")),
)


@pytest.mark.parametrize(("name", "words"), COMMANDS)
def test_a_command_of_this_home_hangs_until_the_end(name: str, words: Sequence[str], tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    settings = Settings(home=home)
    with process(home, *words) as mine, process(other, *words) as theirs:
        assert list(processes(name, settings, URL)) == [mine]
        with hanging(name, settings, URL):
            until(mine, stopped=True)
            assert not is_stopped(theirs)
        until(mine, stopped=False)


def test_who_executes_a_run_hangs_and_who_looks_for_it_does_not(tmp_path: Path) -> None:
    code = (
        "import sys\nimport dagster as dg\nfrom tastemaker.settings import Settings\n"
        "from tastemaker_pipelines.run_processes import run_process\n"
        "instance = dg.DagsterInstance.ephemeral()\n"
        f"with run_process(Settings(home='{tmp_path}'), instance, 'run'): print(flush=True); sys.stdin.read()"
    )
    looks = f"import sys; file = open('{tmp_path / RUNS / 'run'}'); print(flush=True); sys.stdin.read()"
    settings = Settings(home=tmp_path)
    with process(tmp_path, code=code) as run, process(tmp_path, "dagster", "api", "grpc", code=looks):
        assert list(processes("run_hang", settings, URL)) == [run]
        with hanging("run_hang", settings, URL):
            until(run, stopped=True)


def test_who_listens_at_the_address_hangs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with process(tmp_path, code=LISTENS.format(port)) as service:
        with hanging("service_hang", Settings(home=tmp_path), URL.format(port)):
            until(service, stopped=True)
        until(service, stopped=False)


def test_a_killed_simulator_leaves_no_process_that_hangs(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom tastemaker.settings import Settings\n"
        "from tastemaker.workflows.faults.hung_processes import hanging\n"
        f"with hanging('shipper_hang', Settings(home='{tmp_path}'), 'http://x'): time.sleep(600)"
    )
    with process(tmp_path, "tastemaker", "ship") as shipper:
        simulator = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        until(shipper, stopped=True)
        simulator.kill()
        simulator.wait()
        until(shipper, stopped=False)


def test_a_process_with_the_number_of_another_is_left_alone(tmp_path: Path) -> None:
    with process(tmp_path) as one:
        one.send_signal(signal.SIGSTOP)
        until(one, stopped=True)
        continue_all([f"{one.pid}@1.5", "999999999@1.5"])
        assert is_stopped(one)
        continue_all([name_of(one)])
        until(one, stopped=False)


@pytest.mark.parametrize("name", [name for name in WANTED if name != "variant_hang"])
def test_what_does_not_run_is_named(name: str, tmp_path: Path) -> None:
    refusal = rf"{name} can't be produced: .* does not run"
    with (
        pytest.raises(TastemakerError, match=refusal) as refused,
        hanging(name, Settings(home=tmp_path), "http://127.0.0.1:9"),
    ):
        pass
    assert "start it first" in str(refused.value.fix)


def test_without_a_plan_no_variant_hangs(tmp_path: Path) -> None:
    with (
        pytest.raises(TastemakerError, match=r"plan\.json can't be read"),
        hanging("variant_hang", Settings(home=tmp_path), "http://127.0.0.1:9"),
    ):
        pass
