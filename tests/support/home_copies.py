"""Copies of home folders."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

BESIDE = ("-wal", "-shm", "-journal")
"""How the files end that SQLite keeps beside a database while it is open."""


def copy_home(home: Path, target: Path) -> Path:
    """Copy a home folder, whose databases may be open.

    A database is copied by SQLite: the files beside it come and go with the connections of other processes
    and of engines that wait for the garbage collector.
    """
    databases: list[Path] = []

    def apart(folder: str, names: Sequence[str]) -> set[str]:
        found = {name for name in names if _is_database(Path(folder, name))}
        databases.extend(Path(folder, name) for name in found)
        return found | {name + end for name in found for end in BESIDE}

    shutil.copytree(home, target, symlinks=True, ignore=apart)
    for path in databases:
        copied = target / path.relative_to(home)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copied)) as copy:
            source.backup(copy)
    return target


def _is_database(path: Path) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
