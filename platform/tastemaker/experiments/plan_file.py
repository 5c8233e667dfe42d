"""The plan's file: written in one step, and read by processes that have no database."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.experiments.assignment import Assigner
from tastemaker.experiments.plan import ControlPlan
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.failure_log import FailureLog

LOOK_SECONDS = 1.0
"""After how long a running process applies a change."""
ARCHIVE = "plans"
EMPTY_PLAN = ControlPlan(revision=0, made_at=0)

logger = logging.getLogger("tastemaker.experiments")


class PlanInForce(NamedTuple):
    """A plan that a process acts by."""

    plan: ControlPlan
    digest: str | None
    """SHA-256 of the file, in hexadecimal; None without a file."""
    assigner: Assigner
    content: bytes | None = None
    """The file's bytes."""


def decode_plan(content: bytes) -> ControlPlan:
    """Return the plan in a file's bytes. Raises TastemakerError if it is not one."""
    try:
        return msgspec.json.decode(content, type=ControlPlan)
    except msgspec.DecodeError as error:
        raise TastemakerError(
            f"the experiments' plan can't be read: {error}",
            fix="compile it again: tastemaker experiment plan --write; or remove it to end all experiments",
        ) from error


def write_plan(path: Path, plan: ControlPlan) -> str:
    """Check a plan, write it in one step, and return its digest.

    A copy stays under its digest in the folder `plans`, so that each logged assignment can be computed again.

    Args:
        path: Its file; the files of enrolled units are beside it.
        plan: The plan to write, with its revision.

    Raises:
        TastemakerError: The plan contradicts itself, or a file of enrolled units can't be read.
    """
    Assigner(plan, path.parent)
    content = msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"
    digest = hashlib.sha256(content).hexdigest()
    for file in (path.parent / ARCHIVE / f"{digest}.json", path):
        with atomic_write(file) as partial:
            partial.write_bytes(content)
    return digest


def read_archive(folder: Path) -> dict[str, ControlPlan]:
    """Return all plans that were ever written beside the plan file, by digest.

    Args:
        folder: The plan file's.

    Raises:
        TastemakerError: A file can't be read, or was changed since.
    """
    plans = {}
    for path in sorted((folder / ARCHIVE).glob("*.json")):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TastemakerError(
                f"{path} can't be read: {error.strerror}", fix="make it readable"
            ) from error
        if hashlib.sha256(content).hexdigest() != path.stem:
            raise TastemakerError(f"{path} is not what its name says", fix="restore it from a copy")
        plans[path.stem] = decode_plan(content)
    return plans


def newest_archived(folder: Path) -> ControlPlan | None:
    """Return the last plan that was written beside the plan file and can still be read; None without one."""
    content = _newest_content(folder)
    return None if content is None else decode_plan(content)


def is_older(plan: ControlPlan, other: ControlPlan) -> bool:
    """Return whether a plan was written before another one.

    One of a lower revision may be newer: after the whole folder was restored from a copy, revisions rise from
    those of the copy. One of an earlier time may be, too: the clock may have been set back.

    Args:
        plan: The plan that may be older.
        other: The plan that it is compared with.
    """
    return plan.revision < other.revision and plan.made_at <= other.made_at


def _newest_content(folder: Path) -> bytes | None:
    """Return the bytes of `newest_archived`."""
    try:
        found = sorted((folder / ARCHIVE).glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return None
    for path in found:
        with suppress(OSError, TastemakerError):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == path.stem:
                decode_plan(content)
                return content
    return None


class LatestPlan:
    """The last good plan of what was read, and why it may not be the last one that was written.

    What can't be read, or contradicts itself, leaves the last good plan in force; experiments that such a
    plan kills get no unit all the same. So does a plan that is older than one that was in force. Without a
    plan there is no experiment; if it was removed, its default service still answers.
    """

    def __init__(self, read: Callable[[], bytes | None], folder: Path | None) -> None:
        """Begin without a plan.

        Args:
            read: Returns the plan's content, None where there is none; raises OSError or TastemakerError.
            folder: Where the files of enrolled units are. None where they can't be reached: there, an
                experiment that is held keeps its units, and enrols new ones, too.
        """
        self._read, self._folder = read, folder
        self._content: bytes | None = None
        self._failures = FailureLog(logger, "the experiments' plan can be read again")
        self._good = self._in_force = PlanInForce(EMPTY_PLAN, None, Assigner(EMPTY_PLAN, Path()))
        self._newest = EMPTY_PLAN
        """The last plan that was in force, also after it was removed."""

    @property
    def in_force(self) -> PlanInForce:
        """The plan in force."""
        return self._in_force

    @property
    def trouble(self) -> str | None:
        """Why what was written last is not in force, in words; None while it is."""
        return self._failures.trouble

    def look(self) -> None:
        """Read the plan, and put it in force if it changed."""
        try:
            content = self._read()
        except (OSError, TastemakerError) as error:
            reason = error.problem if isinstance(error, TastemakerError) else error.strerror
            self._failures.failed(f"the experiments' plan can't be read: {reason}")
            return
        if content == self._content and self.trouble is None:
            return
        self._content = content
        self._use(content)

    def _use(self, content: bytes | None) -> None:
        """Put a plan in force if it is a good one."""
        plan = None
        try:
            plan = _without_experiments(self._good.plan) if content is None else decode_plan(content)
            if content is not None and is_older(plan, self._newest):
                self._refuse(plan)
                return
            assigner = self._assigner(plan)
        except TastemakerError as error:
            killed = [] if plan is None else [one.name for one in plan.experiments if one.killed]
            self._in_force = self._good._replace(assigner=self._good.assigner.without(killed))
            self._failures.failed(f"the last good plan of the experiments stays in force: {error.problem}")
            return
        digest = None if content is None else hashlib.sha256(content).hexdigest()
        self._good = self._in_force = PlanInForce(plan, digest, assigner, content)
        self._newest = self._newest if content is None else plan
        self._failures.succeeded()

    def _refuse(self, plan: ControlPlan) -> None:
        """Keep what is in force beside an older plan, such as one that was copied back."""
        self._in_force = self._good
        self._failures.failed(
            f"the plan of the experiments has revision {plan.revision}, older than {self._newest.revision}, "
            "which was in force; to write the plan again: tastemaker experiment plan --write"
        )

    def _assigner(self, plan: ControlPlan) -> Assigner:
        if self._folder is not None:
            return Assigner(plan, self._folder)
        experiments = tuple(msgspec.structs.replace(one, enrolled=None) for one in plan.experiments)
        return Assigner(msgspec.structs.replace(plan, experiments=experiments), Path())


class PlanFile(LatestPlan):
    """The plan in force in a process on the plan file's machine. Thread-safe.

    A process that starts takes the plan that was written last for the one that was in force.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; it may be written later."""
        super().__init__(partial(_content, path), path.parent)
        self._lock = threading.Lock()
        if path.exists() and (before := _newest_content(path.parent)) is not None:
            self._content = before
            self._use(before)
        self.look()
        self._next_look = time.monotonic() + LOOK_SECONDS

    def current(self) -> PlanInForce:
        """Return the plan in force; looks at the file at most once a second."""
        if time.monotonic() >= self._next_look and self._lock.acquire(blocking=False):
            try:
                self._next_look = time.monotonic() + LOOK_SECONDS
                self.look()
            finally:
                self._lock.release()
        return self._in_force


def _without_experiments(plan: ControlPlan) -> ControlPlan:
    """Return what is left of a plan whose file was removed: its default service, which answers all users."""
    kept = tuple(one for one in plan.services if one.name == plan.default)
    return msgspec.structs.replace(EMPTY_PLAN, default=plan.default, services=kept)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
