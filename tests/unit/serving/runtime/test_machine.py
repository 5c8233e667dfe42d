"""Limits of containers: control groups of both versions as files, and this machine's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tastemaker.serving.runtime.cgroup import ControlGroups, Memory
from tastemaker.serving.runtime.machine import Machine

MOST = 64 << 30
UNIFIED = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw"
MEMORY_1 = "31 23 0:27 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
CPU_1 = "32 23 0:28 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
OTHER = "22 21 0:20 / /proc rw,nosuid - proc proc rw"


def tree(root: Path, groups: str, mounts: str, files: Mapping[str, str]) -> ControlGroups:
    """The control groups of process 7 on a machine that has these files."""
    files = {"proc/7/cgroup": groups, "proc/7/mountinfo": mounts} | {
        f"sys/fs/cgroup/{path}": text for path, text in files.items()
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    return ControlGroups(7, root)


def test_the_group_nearest_to_its_limit_counts_without_what_the_kernel_may_drop(tmp_path: Path) -> None:
    found = tree(
        tmp_path, "0::/pod/shop", f"{OTHER}\n{UNIFIED.format(root='/')}",
        {
            "memory.current": "9999", "memory.max": "max", "memory.stat": "inactive_file 1",
            "pod/memory.current": "960", "pod/memory.max": "1000", 
            "pod/memory.stat": "anon 5\ninactive_file 60",
            "pod/cpu.max": "150000 100000",
            "pod/shop/memory.current": "400", "pod/shop/memory.max": "800",
            "pod/shop/memory.stat": "inactive_file 100", "pod/shop/cpu.max": "max 100000",
        },
    )  # fmt: skip
    assert found.memory(MOST) == Memory(900, 1_000)
    assert found.cpu_cores() == 1.5


def test_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    """Its group has a path of the machine in one file, and lies at the mount's root."""
    files = {
        "memory.current": "70",
        "memory.max": "100",
        "memory.stat": "inactive_file 0",
        "cpu.max": "50 100",
    }
    for number, (group, root) in enumerate([("/", "/"), ("/kubepods/x", "/kubepods/x"), ("/../y", "/")]):
        found = tree(tmp_path / str(number), f"0::{group}", UNIFIED.format(root=root), files)
        assert found.memory(MOST) == Memory(70, 100), group
        assert found.cpu_cores() == 0.5


def test_version_one_beside_version_two(tmp_path: Path) -> None:
    found = tree(
        tmp_path, "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/",
        "\n".join(line.format(root=root) for line, root in
                  [(UNIFIED, "/"), (MEMORY_1, "/docker/x"), (CPU_1, "/docker/x")]),
        {
            "memory/memory.usage_in_bytes": "800", "memory/memory.limit_in_bytes": "1000",
            "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 300",
            "cpu,cpuacct/cpu.cfs_quota_us": "200000", "cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )  # fmt: skip
    assert found.memory(MOST) == Memory(500, 1_000)
    assert found.cpu_cores() == 2


def test_no_limit_is_none(tmp_path: Path) -> None:
    endless = {
        "memory/memory.usage_in_bytes": "800", "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/memory.stat": "total_inactive_file 0",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000",
    }  # fmt: skip
    mounts = "\n".join(line.format(root="/") for line in (MEMORY_1, CPU_1))
    groups = "4:memory:/\n3:cpu,cpuacct:/"
    for number, found in enumerate([
        tree(tmp_path / "endless", groups, mounts, endless),
        tree(tmp_path / "unreadable", groups, mounts, {}),
        tree(tmp_path / "unmounted", groups, OTHER, {}),
        ControlGroups(7, tmp_path / "no such system"),
    ]):  # fmt: skip
        assert found.memory(MOST) is None, number
        assert found.cpu_cores() is None, number


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="no control groups")
def test_this_process_has_the_limits_of_its_own_groups() -> None:
    """Whatever they are here, they can be read."""
    whole = psutil.virtual_memory().total
    memory = ControlGroups(os.getpid()).memory(whole)
    assert memory is None or 0 < memory.used <= memory.limit < whole


def test_without_a_limit_the_machine_and_the_disks_are_measured(tmp_path: Path) -> None:
    machine = Machine(os.getpid(), {"home": tmp_path, "spool": tmp_path / "not there"}, root=tmp_path)
    found = {
        (sample.name.removeprefix("tastemaker_"), sample.labels.get("folder")): sample.value
        for family in machine.collect()
        for sample in family.samples
    }
    whole, disk = psutil.virtual_memory(), psutil.disk_usage(str(tmp_path))
    assert found["memory_limit_bytes", None] == whole.total
    assert found["memory_used_bytes", None] == pytest.approx(whole.total - whole.available, rel=0.2)
    assert found["cpu_limit_cores", None] == len(psutil.Process().cpu_affinity())
    assert found["disk_size_bytes", "home"] == disk.total
    assert found["disk_free_bytes", "home"] == pytest.approx(disk.free, rel=0.1)
    assert not [folder for _, folder in found if folder == "spool"]
