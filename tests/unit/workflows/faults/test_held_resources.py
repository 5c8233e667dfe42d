"""What faults of the machine hold, they let go of when the fault is over."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.small_disks import mounted
from tastemaker.workflows.faults.faulty_version import plugin_folder

pytestmark = pytest.mark.processes


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(plugin_folder()))
    module = importlib.import_module("tastemaker_faulty.held")
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    return module


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_files_are_open_while_the_fault_lasts(
    held: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held.resource, "getrlimit", lambda _: (100, 100))
    faults = {"file_descriptors": 0.5}
    before = len(os.listdir("/proc/self/fd"))
    held.HeldResources(lambda: faults, tmp_path).follow()
    until(lambda: len(os.listdir("/proc/self/fd")) >= before + 50)
    faults.clear()
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 5)


def test_a_small_disk_is_filled_and_a_usual_one_is_not(held: Any, tmp_path: Path) -> None:
    faults = {"disk": 0.9}
    with mounted(tmp_path / "small", "2m") as small:
        held.HeldResources(lambda: faults, small).follow()
        until(lambda: os.statvfs(small).f_bavail / os.statvfs(small).f_blocks < 0.12)
        faults.clear()
        until(lambda: not os.listdir(small))
    one = held.HeldResources(dict, tmp_path)
    one._hold_disk(1.0)
    assert not (tmp_path / "fault.bin").exists()


def test_memory_is_taken_only_below_a_limit(
    held: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tastemaker.serving.runtime import cgroup

    one = held.HeldResources(dict, tmp_path)
    monkeypatch.setattr(cgroup.ControlGroups, "memory", lambda *_: None)
    one._hold_memory(0.9)
    assert not one._memory
    used = [50 << 20]

    def memory(*_: object) -> cgroup.Memory:
        return cgroup.Memory(used[0] + (len(one._memory) << 23), 100 << 20)

    monkeypatch.setattr(cgroup.ControlGroups, "memory", memory)
    one._hold_memory(0.9)
    assert 80 < (used[0] >> 20) + 8 * len(one._memory) <= 90
