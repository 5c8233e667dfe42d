"""Signals of a process that a shell started in the background."""

from __future__ import annotations

import signal
import threading


def restore_interrupts() -> None:
    """Stop ignoring SIGINT, as a job does that a script starts with `&`. Call it before Dagster runs.

    When a run or a command of Dagster's begins or ends, it gives SIGTERM the handler of SIGINT. Where that is
    to ignore it, nothing but SIGKILL ends the process from then on, or the processes that it starts. If that
    has happened already, SIGTERM is restored, too.
    """
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not is_ignored or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
