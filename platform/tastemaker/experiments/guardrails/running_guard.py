"""Whether a process checks the guardrails of a home folder: it holds a lock as long as it lives.

`tastemaker control` keeps one running. One on another machine is seen where the folder's file system has
locks for all.
"""

from __future__ import annotations

from pathlib import Path

from tastemaker.util.file_lock import file_lock


def lock_path(folder: Path) -> Path:
    """Return the path of the lock that the guard of a plan's folder holds."""
    return folder / "guard.lock"


def is_guarded(folder: Path) -> bool:
    """Return whether a guard of a plan's folder runs."""
    if not folder.exists():
        return False
    try:
        with file_lock(lock_path(folder), wait=False):
            return False
    except BlockingIOError:
        return True
