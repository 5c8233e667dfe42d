"""What callers of the spool get: counts, and futures that are resolved once per event loop."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple

from tastemaker.event_log.spool_file import SpoolError


class Counts(NamedTuple):
    """Number of this process's records by outcome."""

    written: int
    refused: int
    """The queue or the file was full."""
    failed: int
    """They could not be written."""


class Lost(NamedTuple):
    """Number of offered records that will never be on disk. Callers of `append` get an error instead."""

    full: int
    """The queue or the file was full."""
    failed: int
    """They can't be encoded, or the disk failed until the spool was closed."""


class Stored(NamedTuple):
    """Number of records of a call that are on disk."""

    accepted: int
    duplicates: int
    """Records whose keys the spool had."""


class SpoolFull(SpoolError):
    """The spool's queue or file is full now."""

    def __init__(self, problem: str, *, retry_seconds: float) -> None:
        """Say what is full, and when a retry may succeed.

        Args:
            problem: What is full, in words.
            retry_seconds: How long the caller is to wait.
        """
        super().__init__(problem, fix="retry later")
        self.retry_seconds = retry_seconds


Done = Future[Stored] | asyncio.Future[Stored]


class Settled(NamedTuple):
    """A caller's future and what it is to be resolved with."""

    done: Done
    outcome: Stored | SpoolError


def settle(settled: Sequence[Settled]) -> None:
    """Resolve futures: each event loop is woken once, however many of its futures are done."""
    loops: dict[asyncio.AbstractEventLoop, list[Settled]] = defaultdict(list)
    for each in settled:
        if isinstance(each.done, asyncio.Future):
            loops[each.done.get_loop()].append(each)
        else:
            _resolve([each])
    for loop, waiting in loops.items():
        with suppress(RuntimeError):  # the loop is closed: no caller waits
            loop.call_soon_threadsafe(_resolve, waiting)


def _resolve(settled: Sequence[Settled]) -> None:
    for done, outcome in settled:
        if done.done():  # whoever waited has gone
            continue
        if isinstance(outcome, SpoolError):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)
