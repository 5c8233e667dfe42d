"""Continue stopped processes once standard input ends: when who stopped them closes it, or is killed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from contextlib import suppress

import psutil


def name_of(process: psutil.Process) -> str:
    """Return `number@start` of a process: another one that gets its number later has another start."""
    return f"{process.pid}@{process.create_time()!r}"


def continue_all(names: Iterable[str]) -> None:
    """Continue the processes with these names that still exist."""
    for name in names:
        number, _, started = name.partition("@")
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(number))
            if repr(process.create_time()) == started:
                process.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    sys.stdin.read()
    continue_all(sys.argv[1:])
