"""What faults of the machine hold while they are switched on: memory, processors, files, room on a disk."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.2
STEP_BYTES = 8 << 20
LARGEST_DISK_BYTES = 1 << 30
"""A larger disk is not filled: other programs may need it."""
HASHED = bytes(1 << 20)

Faults = Mapping[str, float]


class HeldResources:
    """Holds what the faults say, in a thread of its own that lets go of it when they are over."""

    def __init__(self, read: Callable[[], Faults], folder: Path) -> None:
        """Hold nothing yet.

        Args:
            read: Returns the faults that are switched on.
            folder: A folder on the disk that the fault `disk` fills.
        """
        self._read, self._file = read, folder / "fault.bin"
        self._files: list[Any] = []
        self._memory: list[bytearray] = []
        self._is_busy = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self) -> None:
        """Begin to hold what the faults say, if that has not begun."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="faults of the machine", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while faults := self._read():
            self._hold_files(faults.get("file_descriptors", 0.0))
            self._hold_memory(faults.get("memory", 0.0))
            self._hold_disk(faults.get("disk", 0.0))
            if faults.get("cpu") and not self._is_busy.is_set():
                self._is_busy.set()
                for _ in os.sched_getaffinity(0):
                    threading.Thread(target=self._hash, daemon=True).start()
            time.sleep(LOOK_SECONDS)
        self._is_busy.clear()
        self._hold_files(0.0)
        self._memory.clear()
        self._hold_disk(0.0)

    def _hold_files(self, share: float) -> None:
        """Have so many files open as a share of the process's limit."""
        wanted = int(share * resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        while len(self._files) < wanted:
            self._files.append(open(os.devnull, "rb"))  # noqa: SIM115 - they stay open until the fault ends
        while len(self._files) > wanted:
            self._files.pop().close()

    def _hold_memory(self, share: float) -> None:
        """Take memory until a share of the container's limit is used; none where no limit is set."""
        if not share:
            return
        import psutil

        from tastemaker.serving.runtime.cgroup import ControlGroups

        groups, machine = ControlGroups(os.getpid()), psutil.virtual_memory().total
        while (memory := groups.memory(machine)) and memory.used + STEP_BYTES < share * memory.limit:
            self._memory.append(bytearray(b"\1") * STEP_BYTES)

    def _hold_disk(self, share: float) -> None:
        """Write a file that leaves so much of the disk used; none on a disk of usual size."""
        if not share:
            self._file.unlink(missing_ok=True)
            return
        disk = shutil.disk_usage(self._file.parent)
        missing = int(share * disk.total) - disk.used
        if disk.total <= LARGEST_DISK_BYTES and missing > 0:
            with self._file.open("ab") as file:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, missing)

    def _hash(self) -> None:
        """Keep a processor busy; hashing lets other threads run."""
        while self._is_busy.is_set():
            hashlib.sha256(HASHED).digest()
