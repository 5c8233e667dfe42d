"""Which workers a server has: each takes a place, and any of them says who is away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tastemaker.serving.runtime.worker_slots import Workers, WorkerSlot

BEGIN = """
import pathlib, sys
from tastemaker.serving.runtime.worker_slots import Workers
worker = Workers(pathlib.Path(sys.argv[1]))
"""


def worker(folder: Path, code: str) -> int:
    """A worker that does this, and ends without a word; its process id."""
    process = subprocess.Popen([sys.executable, "-c", BEGIN + code, str(folder)])
    assert process.wait(60) == 0
    return process.pid


def test_workers_that_start_for_the_first_time_are_not_away(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    workers.expect(2)
    assert workers.slots() == {1: WorkerSlot(), 2: WorkerSlot()}
    workers.arrive(1)
    assert workers.serve(1) == 0
    assert workers.slots()[1] == WorkerSlot(os.getpid(), 1, ready=True)
    assert (workers.trouble, workers.restarts) == (None, 0)


@pytest.mark.processes
def test_a_worker_that_ended_is_away_until_another_serves_in_its_place(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    workers.expect(3)
    process = worker(tmp_path, "worker.arrive(2); worker.serve(2)")
    assert workers.slots()[2] == WorkerSlot(process, 1, ready=True)
    assert workers.trouble == "1 of 3 workers ended and restarted"
    worker(tmp_path, "worker.arrive(2)")
    assert workers.trouble == "1 of 3 workers ended and restarted"
    workers.arrive(2)
    assert workers.serve(2) == 2
    again = Workers(tmp_path)
    assert (again.trouble, again.restarts) == (None, 2)


def test_where_nothing_can_be_written_a_worker_serves_all_the_same(tmp_path: Path) -> None:
    workers = Workers(tmp_path / "missing")
    workers.expect(1)
    workers.arrive(1)
    assert workers.serve(1) == 0
    assert (workers.slots(), workers.trouble, workers.restarts) == ({}, None, 0)
