"""The end of processes that tests start: also where a test fails, none runs on and no pipe stays open."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def ended(*processes: subprocess.Popen[Any]) -> Iterator[None]:
    """At the block's end, kill what still runs of them, and close their pipes.

    A pipe that is left to the garbage collector is a warning, which fails whatever test runs then.
    """
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            stack.callback(_kill, process)
        yield


def _kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process, and the session that it may lead."""
    if process.poll() is not None:
        return
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
