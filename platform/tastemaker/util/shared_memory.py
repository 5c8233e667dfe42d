"""Memory that the processes of one machine share, in a mapped file."""

from __future__ import annotations

import logging
import mmap
import os
from pathlib import Path

from tastemaker.util.os_errors import NO_ROOM

logger = logging.getLogger("tastemaker.serving")


def shared(path: Path, n_bytes: int) -> mmap.mmap:
    """Map a file into memory that the processes of this machine share; it is created if it is missing.

    Without room for it on the disk, each process gets memory of its own.

    Args:
        path: The file.
        n_bytes: Its size.

    Returns:
        The memory: what the file holds, and 0 in a new file.

    Raises:
        OSError: The file can't be mapped, for another reason than a full disk.
    """
    try:
        return _mapped(path, n_bytes)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        logger.warning("%s can't be made, so that each process counts for itself", path)
        return mmap.mmap(-1, n_bytes)


def _mapped(path: Path, n_bytes: int) -> mmap.mmap:
    """Map the file, allocated on the disk: a write to a hole would kill the process on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(handle, 0, n_bytes)
        return mmap.mmap(handle, n_bytes)
    finally:
        os.close(handle)
