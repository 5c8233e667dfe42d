"""Kills: an experiment's units get the default at once, whether or not the database answers.

    <folder>/killed/<experiment>.json    who killed it, when and why, until the database has it

The file is written before the plan file, and a compilation reads it after it wrote the plan, so that
none that was under way takes a kill back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.experiments.lifecycle.changes import require_reason
from tastemaker.experiments.plan import ControlPlan
from tastemaker.experiments.plan_file import decode_plan, is_older, newest_archived, write_plan
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.file_lock import file_lock

FOLDER = "killed"
PLAN = "plan.json"
LOCK = "plan.lock"
_WAIT_SECONDS = 0.5
"""How long a kill waits for a compilation: not for one that waits for a database."""


class Kill(msgspec.Struct, frozen=True):
    """A kill that the database may not have yet."""

    experiment: str
    actor: str
    reason: str
    at: float
    """Seconds since 1970 UTC."""

    @property
    def killed_at(self) -> datetime:
        """When it was."""
        return datetime.fromtimestamp(self.at, UTC)


def kill(folder: Path, name: str, actor: str, reason: str) -> None:
    """Have all units of an experiment get the default, without a database.

    Args:
        folder: The plan's folder.
        name: The experiment's name.
        actor: Who kills it.
        reason: Why, in words.

    Raises:
        ActionRefused: The actor or the reason is missing.
        TastemakerError: The plan file has no such experiment, or can't be written.
    """
    require_reason(name, actor, reason)  # the database would refuse the change, and each one after it
    path = folder / PLAN
    if name not in (running := {one.name for one in _in_force(folder).experiments}):
        raise TastemakerError(
            f"{name} does not run: {path} has {', '.join(sorted(running)) or 'no experiment'}",
            fix="tastemaker experiment list",
        )
    with atomic_write(folder / FOLDER / f"{name}.json") as partial:
        partial.write_bytes(msgspec.json.encode(Kill(name, actor, reason, time.time())))
    with _lock_if_free(folder):
        plan = _in_force(folder)
        killed = with_kills(msgspec.structs.replace(plan, revision=plan.revision + 1), {name})
        try:
            write_plan(path, killed)
        except OSError as error:
            raise TastemakerError(
                f"{name} is not killed yet: {path} can't be written: {error.strerror or error}",
                fix="free some space or fix the permissions, then: tastemaker experiment plan --write",
            ) from error


def pending(folder: Path) -> list[Kill]:
    """Return the kills that the database may not have yet, oldest first.

    Raises:
        TastemakerError: A file can't be read.
    """
    found = []
    for path in (folder / FOLDER).glob("*.json"):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Kill))
        except FileNotFoundError:
            continue  # another process has stored it in the meantime
        except (OSError, ValueError) as error:
            raise TastemakerError(
                f"{path} can't be read: {error}",
                fix=f"remove it, then: tastemaker experiment kill {path.stem} --reason REASON",
            ) from error
    return sorted(found, key=lambda one: one.at)


@contextmanager
def _lock_if_free(folder: Path) -> Iterator[None]:
    """Hold the plan's lock within the block, unless another process keeps it."""
    with ExitStack() as held:
        until = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                held.enter_context(file_lock(folder / LOCK, wait=False))
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    break
                time.sleep(0.01)
        yield


def readable_plan(path: Path) -> ControlPlan | None:
    """Return the plan in a file; None if there is none, or it can't be read."""
    try:
        return read_plan(path)
    except TastemakerError:
        return None


def _in_force(folder: Path) -> ControlPlan:
    """Return the plan that controllers go by: where the file is damaged or older, the last one written."""
    path = folder / PLAN
    before = newest_archived(folder) if path.exists() else None
    found = readable_plan(path)
    if found is None or (before is not None and is_older(found, before)):
        return before or read_plan(path)
    return found


def read_plan(path: Path) -> ControlPlan:
    """Return the plan in a file. Raises TastemakerError if there is none, or it can't be read."""
    try:
        return decode_plan(path.read_bytes())
    except OSError as error:
        raise TastemakerError(
            f"{path} can't be read: {error.strerror}", fix="compile it: tastemaker experiment plan --write"
        ) from error


def settle(folder: Path, name: str) -> None:
    """Remove the file of a kill that the database has; without one, do nothing.

    Args:
        folder: The plan's folder.
        name: The experiment's name.
    """
    (folder / FOLDER / f"{name}.json").unlink(missing_ok=True)


def with_kills(plan: ControlPlan, names: set[str]) -> ControlPlan:
    """Return a plan in which some experiments are killed.

    Args:
        plan: The plan, which is left as it is.
        names: Names of experiments; those that the plan does not have change nothing.
    """
    experiments = tuple(
        msgspec.structs.replace(one, killed=True) if one.name in names else one for one in plan.experiments
    )
    return msgspec.structs.replace(plan, experiments=experiments)
