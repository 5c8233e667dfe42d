"""The crash tier's memory: which variants lost their traffic to control at once, a file per experiment.

    <home>/experiments/tripped/<experiment>.json

The controller's workers write and read it, and the guard turns it into a rollback. A trip holds for its
epoch: a repaired variant begins a new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.file_lock import file_lock

FOLDER = "tripped"
LOOK_SECONDS = 0.5
"""After how long a running process applies what another one wrote."""

logger = logging.getLogger("tastemaker.experiments")


class Trip(msgspec.Struct, frozen=True):
    """Why a variant lost its traffic."""

    service: str
    reason: str
    """In words."""
    tripped_at: float
    """Seconds since 1970 UTC."""


class TrippedExperiment(msgspec.Struct, frozen=True):
    """The variants of one epoch that lost their traffic."""

    experiment: str
    epoch: int
    trips: dict[str, Trip]
    """By the variant's name."""


class TripFiles:
    """The trips that a process acts by."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the plan's; the files are in a folder of it."""
        self._folder = folder / FOLDER
        self._found: dict[str, TrippedExperiment] = {}
        self._stamps: frozenset[tuple[str, int, int]] = frozenset()
        self._next_look = 0.0
        self._failures = FailureLog(logger, "the files of tripped experiments can be used again")

    @property
    def trouble(self) -> str | None:
        """Why the files can't be used, in words; None while they can."""
        return self._failures.trouble

    def current(self) -> Mapping[str, TrippedExperiment]:
        """Return the tripped experiments by name; looks at the files at most every LOOK_SECONDS."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look()
        return self._found

    def add(self, experiment: str, epoch: int, variant: str, trip: Trip) -> None:
        """Record a trip for all processes; in this one it holds even where the disk fails.

        Args:
            experiment: The experiment's name.
            epoch: Its epoch. Trips of another epoch are dropped.
            variant: The variant that lost its traffic.
            trip: Why and when.
        """
        self._found = self._found | {
            experiment: _with(self._found.get(experiment), experiment, epoch, variant, trip)
        }
        path = self._folder / f"{experiment}.json"
        try:
            with file_lock(path.with_suffix(".lock")):
                tripped = _with(_read(path), experiment, epoch, variant, trip)
                with atomic_write(path) as partial:
                    partial.write_bytes(msgspec.json.encode(tripped))
        except OSError as error:
            self._failures.failed("a tripped experiment can't be written", detail=path, error=error)

    def _look(self) -> None:
        try:
            found = [(path, path.stat()) for path in self._folder.glob("*.json")]
        except OSError as error:
            self._failures.failed("the files of tripped experiments can't be read", error=error)
            return
        stamps = frozenset((path.name, stat.st_mtime_ns, stat.st_ino) for path, stat in found)
        if stamps == self._stamps:
            return
        tripped = [_read(path) for path, _ in found]
        self._stamps = stamps
        self._found = {one.experiment: one for one in tripped if one is not None}
        if None in tripped:
            self._failures.failed("a file of a tripped experiment can't be read", detail=self._folder)
        else:
            self._failures.succeeded()


def _with(
    before: TrippedExperiment | None, experiment: str, epoch: int, variant: str, trip: Trip
) -> TrippedExperiment:
    """Return the experiment with one more trip; those of another epoch count no longer."""
    trips = before.trips if before is not None and before.epoch == epoch else {}
    return TrippedExperiment(experiment, epoch, trips | {variant: trip})


def _read(path: Path) -> TrippedExperiment | None:
    """Return what a file holds; None if it is missing or unreadable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrippedExperiment)
    except (OSError, msgspec.DecodeError):
        return None
