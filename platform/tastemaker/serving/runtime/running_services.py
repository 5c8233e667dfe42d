"""Which services of a home folder run on this machine, and what they follow: a file each, locked meanwhile.

    home/services/<process>-....json

A lock is given back by the operating system when its holder dies, however it dies. Services on other
machines, or of another home folder, are not seen.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from tastemaker.registry.deployment import Followed

FOLDER = "services"
_held: list[int] = []
"""Open for as long as this process runs."""


class RunningService(msgspec.Struct, frozen=True):
    """A server that runs."""

    process: int
    model: str | None
    """The model whose versions it serves; None: the champion's, of whichever model."""
    problem: str | None
    """Whose versions it serves; None: any problem's."""
    address: str
    started_at: float
    """Seconds since 1970 UTC."""

    def follows_champion(self, problem: str) -> bool:
        """Return whether it serves the problem's champion, of whichever model."""
        return self.model is None and self.problem == problem

    def serves(self, model: str, problem: str) -> bool:
        """Return whether it switches to versions of this model that are deployed for the problem.

        Args:
            model: The model's name.
            problem: The problem's name.
        """
        return self.model == model and self.problem in (None, problem)


def announce(home: Path, followed: Followed) -> None:
    """Announce this process until it ends; without effect where the home can't be written.

    Args:
        home: The home folder.
        followed: What the process follows; its model and problem are what others see.
    """
    mine = RunningService(os.getpid(), followed.model, followed.problem, _address(sys.argv), time.time())
    folder = home / FOLDER
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{mine.process}-", suffix=".tmp", dir=folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, msgspec.json.encode(mine))
        os.rename(name, Path(name).with_suffix(".json"))
        _held.append(handle)


def running(home: Path) -> list[RunningService]:
    """Return the running services, oldest first; remove the files of those that ended."""
    found = [_alive(path) for path in (home / FOLDER).glob("*.json")]
    return sorted((one for one in found if one is not None), key=lambda one: one.started_at)


def _alive(path: Path) -> RunningService | None:
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=RunningService)
        path.unlink()
    except (OSError, ValueError):
        return None
    return None


def _address(words: list[str]) -> str:
    """Return the URL at which a `bentoml serve` with these words listens."""
    return f"http://{_option(words, '--host', '127.0.0.1')}:{_option(words, '--port', '3000')}"


def _option(words: list[str], name: str, otherwise: str) -> str:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == name and following:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return otherwise
