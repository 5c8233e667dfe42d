"""A worker ends with its server, however that ended.

BentoML's workers are process groups of their own: kill -9 of the server leaves them serving, on its port and
with its old settings.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

SERVER = "TASTEMAKER_SERVER_PROCESS"
"""Environment: the process id of the server that a process belongs to."""
PARENT_POLL_SECONDS = 0.25
GRACE_SECONDS = 10.0
"""How long an orphan may take to answer the requests that it has and to write its log."""
_PR_SET_PDEATHSIG = 1


def end_with_server() -> None:
    """End this process with the server that started it, if one did."""
    if SERVER in os.environ:
        end_with(int(os.environ[SERVER]))


def end_with(server: int) -> None:
    """End this process, with SIGTERM first, once its parent, the process `server`, has ended.

    A process that has another parent is left alone: it is not the server's worker, or `is_orphan`.
    """
    if is_orphan(server):
        return
    _ask_the_kernel()
    threading.Thread(target=_watch, args=(server,), name="parent", daemon=True).start()


def is_orphan(server: int) -> bool:
    """Return whether the process `server`, which started this one, has ended."""
    return os.getppid() != server


def _ask_the_kernel() -> None:
    """Ask Linux to send the signal as soon as the parent ends; other systems have the thread alone."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (AttributeError, OSError, TypeError):
        return


def _watch(server: int) -> None:
    """End this process once the server has ended, even if the main thread does not handle the signal."""
    while not is_orphan(server):
        time.sleep(PARENT_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
