"""The memory and processor limits that a container sets: control groups of Linux, version 2 or 1.

A process is in one group per hierarchy, and every group above it limits it, too. Where no group sets a limit
(or the system has no control groups), there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Memory(NamedTuple):
    """Memory of a group or a machine, in bytes."""

    used: int
    """Without files that the kernel may drop."""
    limit: int


class _Files(NamedTuple):
    """Names of a version's files."""

    used: str
    limit: str
    droppable: str
    """The line of `memory.stat`."""


_FILES = {
    "memory": _Files("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"),
    "": _Files("memory.current", "memory.max", "inactive_file"),
}


class ControlGroups:
    """The groups of one process, found once."""

    def __init__(self, process: int, root: Path = Path("/")) -> None:
        """Find the groups.

        Args:
            process: Its number.
            root: The folder that has `proc`; another one in tests.
        """
        self._root = root
        self._memory = list(self._groups(process, "memory"))
        self._cpu = list(self._groups(process, "cpu"))

    def memory(self, most: int) -> Memory | None:
        """Return the memory of the group that is nearest to its limit; None where no group has one.

        Args:
            most: The machine's memory: a limit above it is none. (Version 1 writes a huge number for "no
                limit".)
        """
        found = [memory for version, folder in self._memory if (memory := _memory(version, folder, most))]
        return max(found, key=lambda one: one.used / one.limit, default=None)

    def cpu_cores(self) -> float | None:
        """Return the lowest limit of processor time, in processors; None where no group has one."""
        found = [cores for version, folder in self._cpu if (cores := _cores(version, folder))]
        return min(found, default=None)

    def _groups(self, process: int, controller: str) -> Iterator[tuple[str, Path]]:
        """Yield the process's group and those above it: "" for version 2 or the controller, and the folder.

        A controller is in one of the versions: in version 1 if it is mounted there.
        """
        with suppress(OSError, ValueError):
            proc = self._root / "proc" / str(process)
            groups = dict(_group(line) for line in (proc / "cgroup").read_text().splitlines())
            name = controller if controller in groups else ""
            for mount in (proc / "mountinfo").read_text().splitlines():
                before, _, after = mount.partition(" - ")
                mount_root, mount_point = before.split()[3:5]
                kind, _, options = after.split()[:3]
                if (kind == "cgroup2") if not name else (kind == "cgroup" and name in options.split(",")):
                    yield from self._upwards(name, groups[name], mount_root, mount_point)
                    return

    def _upwards(
        self, name: str, group: str, mount_root: str, mount_point: str
    ) -> Iterator[tuple[str, Path]]:
        top = self._root / mount_point.lstrip("/")
        path = PurePosixPath(group)
        # A container may see only its own group, under a path of the machine.
        below = path.relative_to(mount_root) if path.is_relative_to(mount_root) else PurePosixPath()
        parts = () if ".." in below.parts else below.parts
        for depth in range(len(parts), -1, -1):
            yield name, top.joinpath(*parts[:depth])


def _group(line: str) -> tuple[str, str]:
    """Return controller and path of a line such as `4:memory:/a/b`; `0::/a` is version 2's."""
    _, controllers, path = line.split(":", 2)
    names = controllers.split(",")
    return next((name for name in ("memory", "cpu") if name in names), controllers), path


def _memory(version: str, folder: Path, most: int) -> Memory | None:
    files = _FILES[version]
    with suppress(OSError, ValueError):
        limit = int((folder / files.limit).read_text())  # "max": no limit
        if 0 < limit < most:
            used = int((folder / files.used).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return Memory(max(0, used - int(stat.get(files.droppable, 0))), limit)
    return None


def _cores(version: str, folder: Path) -> float | None:
    with suppress(OSError, ValueError):
        if version:
            quota = int((folder / "cpu.cfs_quota_us").read_text())  # -1: no limit
            period = int((folder / "cpu.cfs_period_us").read_text())
        else:
            quota, period = map(int, (folder / "cpu.max").read_text().split())  # "max 100000": no limit
        if quota > 0 and period > 0:
            return quota / period
    return None
