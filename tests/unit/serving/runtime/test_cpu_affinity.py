"""A worker that keeps to one processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest

from support.child_processes import ended
from tastemaker.serving.runtime.cpu_affinity import MAX_SHARING

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system can't pin"),
]

WORKER = """
import json, os, sys, threading
from pathlib import Path
from tastemaker.serving.runtime.cpu_affinity import pin_to_core

there = threading.Event()
threading.Thread(target=there.wait).start()
number = pin_to_core(Path(sys.argv[1]), int(sys.argv[2]))
allowed = [sorted(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")]
print(json.dumps([number, allowed]), flush=True)
sys.stdin.read()
there.set()
"""


def started(locks: Path, places: int = 1) -> subprocess.Popen[str]:
    """A process with two threads that keeps to a processor, until its input ends."""
    command = [sys.executable, "-c", WORKER, str(locks), str(places)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_workers_share_the_processors_evenly(tmp_path: Path) -> None:
    processors = sorted(os.sched_getaffinity(0))
    said = []
    with ExitStack() as running:
        for _ in range(2 * len(processors)):
            worker = started(tmp_path)
            running.enter_context(ended(worker))
            assert worker.stdout
            said.append(json.loads(worker.stdout.readline()))
    assert [number for number, _ in said] == processors + processors
    assert all(allowed == [[number], [number]] for number, allowed in said), "all of their threads"


def test_others_share_before_they_share_with_a_worker_of_two_places(tmp_path: Path) -> None:
    processors = sorted(os.sched_getaffinity(0))
    said = []
    with ExitStack() as running:
        for places in [2] + [1] * (2 * len(processors) - 1):
            worker = started(tmp_path, places)
            running.enter_context(ended(worker))
            assert worker.stdout
            said.append(json.loads(worker.stdout.readline())[0])
    others = processors[1:] + processors[1:] if len(processors) > 1 else []
    assert said == [processors[0], *others, processors[0]], "the last finds two places taken of each"


def test_places_that_are_not_all_free_are_left_to_others(tmp_path: Path) -> None:
    for number in os.sched_getaffinity(0):
        (tmp_path / f"tastemaker-processor-{number}-1.lock").symlink_to(tmp_path / "elsewhere")
    numbers = []
    for worker in (first := started(tmp_path, 2)), (second := started(tmp_path, 1)):
        assert worker.stdout
        numbers.append(json.loads(worker.stdout.readline())[0])
    with ended(first), ended(second):
        taken = sorted(int(one.stem.rsplit("-", 1)[1]) for one in tmp_path.iterdir() if not one.is_symlink())
    assert numbers == [min(os.sched_getaffinity(0))] * 2, "the first holds the places 2 and 3, the second 0"
    assert taken == [0] * len(os.sched_getaffinity(0)) + [2, 3]


def test_a_processor_is_free_again_when_its_worker_has_ended(tmp_path: Path) -> None:
    processors = sorted(os.sched_getaffinity(0))
    for _ in range(len(processors) + 1):
        worker = started(tmp_path)
        with ended(worker):
            assert worker.stdout
            assert json.loads(worker.stdout.readline())[0] == processors[0]


def test_locks_of_others_are_left_alone(tmp_path: Path) -> None:
    for number, place in product(os.sched_getaffinity(0), range(MAX_SHARING)):
        (tmp_path / f"tastemaker-processor-{number}-{place}.lock").symlink_to(tmp_path / "elsewhere")
    worker = started(tmp_path)
    with ended(worker):
        assert worker.stdout
        assert json.loads(worker.stdout.readline())[0] is None
    assert not (tmp_path / "elsewhere").exists()
