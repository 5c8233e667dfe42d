"""Signals of a process that a shell started in the background."""

from __future__ import annotations

import signal
import threading


def restore_interrupts() -> None:
    """Stop ignoring SIGINT, as a job does that a script starts with `&`. Call it before Dagster runs.

    When a run ends, Dagster gives SIGTERM the handler of SIGINT. Where that is to ignore it, nothing but
    SIGKILL ends the process from then on, or the processes that it starts.
    """
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if is_ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
