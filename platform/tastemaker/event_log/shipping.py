"""From the spool to where the settings say, once or for ever; and from there into the lake."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from threading import Event

from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import Drained, LakeSink, Sink, drain
from tastemaker.event_log.postgres import AwayError, PostgresSink, pull
from tastemaker.event_log.spool_file import SpoolError
from tastemaker.settings import Settings

POLL_SECONDS = 1.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
"""Between attempts on a target that is away; doubled from one to the next."""


def open_sink(settings: Settings) -> Sink:
    """Where the settings say that logs are kept. It is not touched before there is something to keep."""
    if settings.log.target == "postgres":
        return PostgresSink(settings.log_url)
    return LakeSink(Lake(settings.lake))


def collect(settings: Settings, lake: Lake) -> Drained:
    """Bring everything that was logged into the lake: this home's spool, and what other services shipped.

    Returns what is new in the lake. Raises AwayError.
    """
    moved = drain(settings.spool, open_sink(settings))
    return pull(settings.log_url, lake) if settings.log.target == "postgres" else moved


def follow(
    settings: Settings, stop: Event, *, progress: Callable[[Drained], None], away: Callable[[str], None]
) -> None:
    """Drain again and again until `stop` is set. While the target is away the spool grows, up to its bound.

    `progress` is told of each batch, `away` of each attempt that failed.
    """
    target, wait = open_sink(settings), FIRST_WAIT_SECONDS
    while not stop.is_set():
        try:
            drain(settings.spool, target, progress=progress)
        except (AwayError, SpoolError, OSError, sqlite3.Error) as error:
            away(f"{error}; trying again in {wait:g} s")
            stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        else:
            wait = FIRST_WAIT_SECONDS
            stop.wait(POLL_SECONDS)
