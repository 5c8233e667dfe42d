"""A processor for each worker.

Python lets one thread of a process run at a time, and each of a worker's threads wakes the next. Spread over
several processors, that costs an interrupt and a cold cache each time; on one, neither.
"""

from __future__ import annotations

import fcntl
import logging
import os
from itertools import product
from pathlib import Path

MAX_SHARING = 16
"""The most workers that keep to one processor."""

logger = logging.getLogger("tastemaker.serving")
_held: list[int] = []
"""Locks, for as long as the process lives."""


def pin_to_core(locks: Path, places: int = 1) -> int | None:
    """Move all threads of this process to a processor with free places, and return its number.

    One place of each processor is taken before a second of any.

    Args:
        locks: A folder that all services of the machine share.
        places: How many it takes. A worker that does more than others takes more than one.

    Returns:
        None, and nothing is moved, if too few places are free or the system can't do it (Linux can).
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ()
    for first, number in product(range(MAX_SHARING - places + 1), allowed):
        if _take_all(
            [locks / f"tastemaker-processor-{number}-{first + more}.lock" for more in range(places)]
        ):
            for thread in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(thread), {number})
            return number
    logger.warning("no processor is free to keep to; the worker runs wherever there is room")
    return None


def _take_all(locks: list[Path]) -> bool:
    """Take the locks, all or none, and return whether they are ours."""
    held = len(_held)
    if all(_take(lock) for lock in locks):
        return True
    while len(_held) > held:
        os.close(_held.pop())
    return False


def _take(lock: Path) -> bool:
    """Take the lock, and return whether it is ours. A file that can't be opened belongs to another user."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
