"""Which workers one server has: a small file each, in the folder that they share.

    worker-1.json   who serves in the first place, how often that place was taken, and whether it serves yet

The server makes the slots, each worker fills its own, and any of them knows of all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

METRICS_FOLDER = "TASTEMAKER_METRICS_FOLDER"
"""Environment: where the workers of one server share their numbers. Set by the server for its workers."""


class WorkerSlot(msgspec.Struct, frozen=True):
    """The place of a worker and of those that replace it."""

    process: int = 0
    """0: no process yet."""
    starts: int = 0
    """How many workers were started here."""
    ready: bool = False
    """Whether the process that was started last serves."""

    @property
    def restarts(self) -> int:
        """How many of them replaced one that ended."""
        return max(0, self.starts - 1)

    @property
    def runs(self) -> bool:
        """Whether the process that was started last runs."""
        return _runs(self.process)

    @property
    def away(self) -> bool:
        """Whether a worker ended and none has replaced it yet."""
        if not self.ready:
            return self.starts > 1
        return not self.runs


class Workers:
    """The slots of one server's workers, numbered from 1."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def expect(self, number: int) -> None:
        """Create so many slots. Called by the server."""
        for one in range(1, number + 1):
            self._put(one, WorkerSlot())

    def arrive(self, number: int) -> None:
        """Take a place with this process, which will serve soon."""
        before = self._get(number) or WorkerSlot()
        self._put(number, WorkerSlot(os.getpid(), before.starts + 1))

    def serve(self, number: int) -> int:
        """Record that this process serves; return how many were started in its place before it."""
        slot = self._get(number) or WorkerSlot(starts=1)
        self._put(number, WorkerSlot(os.getpid(), slot.starts, ready=True))
        return slot.starts - 1

    def slots(self) -> dict[int, WorkerSlot]:
        """Return all slots by their numbers."""
        return dict(sorted(self._all()))

    @property
    def restarts(self) -> int:
        """Return how many workers were started in place of one that ended."""
        return sum(slot.restarts for _, slot in self._all())

    @property
    def trouble(self) -> str | None:
        """That workers are missing, in words; None while all serve."""
        slots = [slot for _, slot in self._all()]
        away = sum(slot.away for slot in slots)
        return f"{away} of {len(slots)} workers ended and restarted" if away else None

    def _all(self) -> Iterator[tuple[int, WorkerSlot]]:
        for path in self._folder.glob("worker-*.json"):
            number = int(path.stem.partition("-")[2])
            slot = self._get(number)
            if slot is not None:
                yield number, slot

    def _get(self, number: int) -> WorkerSlot | None:
        try:
            return msgspec.json.decode(self._path(number).read_bytes(), type=WorkerSlot)
        except (OSError, msgspec.DecodeError):
            return None

    def _put(self, number: int, slot: WorkerSlot) -> None:
        """Write a place atomically. On a full disk the others do not see it; it serves all the same."""
        partial = self._folder / f".worker-{number}.{os.getpid()}"
        with suppress(OSError):
            partial.write_bytes(msgspec.json.encode(slot))
            partial.replace(self._path(number))

    def _path(self, number: int) -> Path:
        return self._folder / f"worker-{number}.json"


def _runs(process: int) -> bool:
    if not process:  # psutil would take 0 for the kernel's
        return False
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
