"""Entry points of the installed distributions, read again only after a folder of packages has changed.

`importlib.metadata.entry_points` reads one file per distribution at each call, some 10 ms in all.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple


class Installed(NamedTuple):
    """Entry point with the distribution that has it."""

    entry: EntryPoint
    distribution: str
    version: str

    @classmethod
    def of(cls, entry: EntryPoint) -> Installed:
        """Return the entry point with its distribution, `unknown` if it has none."""
        return cls(entry, *((entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")))


def installed(group: str) -> tuple[Installed, ...]:
    """Return the entry points of a group, sorted by name, then by distribution.

    Installing or removing a distribution renames a folder inside one of `sys.path`, which changes that one's
    time.
    """
    return _read(group, tuple((folder, _changed(folder)) for folder in sys.path))


def _changed(folder: str) -> int:
    """Return when a folder's entries changed last, in nanoseconds; 0 if it does not exist."""
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=8)
def _read(group: str, _folders: tuple[tuple[str, int], ...]) -> tuple[Installed, ...]:
    found = map(Installed.of, entry_points(group=group))
    return tuple(sorted(found, key=lambda one: (one.entry.name, one.distribution)))
