"""The file in the home folder that says when alert rules were evaluated last: `watch.beat`.

The watch writes it, services read it. Nothing else is imported here, since services do.
"""

from __future__ import annotations

import time
from pathlib import Path

from tastemaker.util.atomic_files import atomic_write

FILE_NAME = "watch.beat"
BEAT_SECONDS = 15.0
"""How often it is written while the watch works."""


def write_beat(home: Path) -> None:
    """Write that the alert rules are evaluated now.

    Raises:
        OSError: If the file can't be written.
    """
    with atomic_write(home / FILE_NAME) as partial:
        partial.write_text(f"{time.time():.3f}\n", "ascii")


def read_beat(home: Path) -> float | None:
    """Return when the rules were evaluated last, seconds since 1970 UTC; None if no watch ever ran.

    A damaged file counts as written when it was changed.

    Raises:
        OSError: If the file is there and can't be read.
    """
    path = home / FILE_NAME
    try:
        text = path.read_text("ascii", "replace")
    except FileNotFoundError:
        return None
    try:
        return float(text)
    except ValueError:
        return path.stat().st_mtime
