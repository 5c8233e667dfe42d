"""Keeps a model's service alive: `python keeper.py MODULE:NAME PORT` serves it in a child process, and makes
another as soon as that one is gone.

It stands in for BentoML's own supervisor, which does the same within ten seconds or so: what is loaded before
the fork need not be loaded again, so that a test can kill a service twenty times.

With KEEPER_CLOCK in the environment, the name of a file that holds a number of seconds (eight bytes, a
double), Python's `time.time` is that far ahead: a clock that a test can turn while the service runs.
"""

from __future__ import annotations

import importlib
import mmap
import os
import signal
import struct
import sys
import time
from pathlib import Path

import uvicorn

CLOCK = "KEEPER_CLOCK"


def keep(target: str, port: int) -> None:
    """Until SIGTERM. A child does what BentoML's worker does: the service's own application in uvicorn."""
    module, _, name = target.partition(":")
    app = getattr(importlib.import_module(module), name).to_asgi()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=5
    )
    config.load()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    child = 0
    try:
        while True:
            child = os.fork()
            if not child:
                uvicorn.Server(config).run()
                os._exit(0)
            os.waitpid(child, 0)
            time.sleep(0.05)
    finally:
        if child:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)


def turn_clock(path: Path) -> None:
    """Replace this process's clock, and its children's."""
    true_time = time.time
    with path.open("r+b") as file:
        ahead = mmap.mmap(file.fileno(), 8)
    time.time = lambda: true_time() + float(struct.unpack("d", ahead)[0])


if __name__ == "__main__":
    if CLOCK in os.environ:
        turn_clock(Path(os.environ[CLOCK]))
    keep(sys.argv[1], int(sys.argv[2]))
