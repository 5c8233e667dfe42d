"""A worker on a processor of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.child_processes import ended

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
number = pin_to_core(Path(sys.argv[1]))
allowed = [sorted(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")]
print(json.dumps([number, allowed]), flush=True)
sys.stdin.read()
there.set()
"""


def started(locks: Path) -> subprocess.Popen[str]:
    """A process with two threads that keeps to a processor, until its input ends."""
    command = [sys.executable, "-c", WORKER, str(locks)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_each_worker_has_a_processor_of_its_own_while_there_are_any(tmp_path: Path) -> None:
    processors = sorted(os.sched_getaffinity(0))
    workers = [started(tmp_path) for _ in range(len(processors) + 1)]
    with ended(*workers):
        said = [json.loads(worker.stdout.readline()) for worker in workers if worker.stdout]
    pinned = [(number, allowed) for number, allowed in said if number is not None]
    assert sorted(number for number, _ in pinned) == processors
    assert all(allowed == [[number], [number]] for number, allowed in pinned), "all of their threads"
    assert [allowed for number, allowed in said if number is None] == [[processors, processors]]


def test_a_processor_is_free_again_when_its_worker_has_ended(tmp_path: Path) -> None:
    processors = sorted(os.sched_getaffinity(0))
    for _ in range(len(processors) + 1):
        worker = started(tmp_path)
        with ended(worker):
            assert worker.stdout
            assert json.loads(worker.stdout.readline())[0] == processors[0]


def test_locks_of_others_are_left_alone(tmp_path: Path) -> None:
    for number in os.sched_getaffinity(0):
        (tmp_path / f"tastemaker-processor-{number}.lock").symlink_to(tmp_path / "elsewhere")
    worker = started(tmp_path)
    with ended(worker):
        assert worker.stdout
        assert json.loads(worker.stdout.readline())[0] is None
    assert not (tmp_path / "elsewhere").exists()
