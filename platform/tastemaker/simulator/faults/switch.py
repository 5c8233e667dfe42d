"""The file that switches the faults of the model `faulty` on.

It says until when they hold, and is renewed while they are wanted: after a kill they end by themselves.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tastemaker.util.atomic_files import atomic_write

NAME = Path("simulate") / "faults.json"
"""In the home folder."""
HOLD_SECONDS = 10.0
"""How long faults stay on after they were switched on or renewed last."""
RENEW_SECONDS = 3.0


@contextmanager
def switched_on(home: Path, faults: Mapping[str, float]) -> Iterator[None]:
    """Switch faults of the model on within a block.

    Args:
        home: The home folder.
        faults: Name -> share of requests or users, from 0 to 1; empty: no file is written.

    Yields:
        Nothing, once the file is written; it is renewed until the block ends, and then removed.
    """
    if not faults:
        yield
        return
    path, ended = home / NAME, threading.Event()
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, faults)
    renewing = threading.Thread(target=_renew, args=(path, faults, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        path.unlink(missing_ok=True)


def _renew(path: Path, faults: Mapping[str, float], ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        _write(path, faults)


def _write(path: Path, faults: Mapping[str, float]) -> None:
    with atomic_write(path) as partial:
        partial.write_text(
            json.dumps({"faults": dict(faults), "expires_at": time.time() + HOLD_SECONDS}), "utf-8"
        )
