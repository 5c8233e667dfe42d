"""An advisory lock on a file, which the operating system releases if its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold the lock on a file within the block. The file stays: removing it would race.

    Args:
        path: The file; it is created if it is missing.
        wait: Whether to wait for another holder.
        shared: Whether others may hold it at the same time, if they share it, too.

    Yields:
        None, once the lock is held.

    Raises:
        BlockingIOError: Another process holds the lock, and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(handle, mode if wait else mode | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
