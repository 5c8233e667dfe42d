"""The child process that trains: it reads the data once, and does one job after the other.

It is forked from multiprocessing's server process, which has imported this module and runs no thread of a
model: a fork of the run itself would inherit locks and the halves of thread pools.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

# What each training needs is imported by the server process once.
import tastemaker.evaluation.backtest
import tastemaker.workflows.drift_reference  # noqa: F401
from tastemaker.errors import TastemakerError
from tastemaker.evaluation.failures import reason_of
from tastemaker.plugins import discovery
from tastemaker.settings import Settings
from tastemaker.trainings.records import Cost
from tastemaker.util.os_errors import in_words
from tastemaker.workflows.training.jobs import Finished, Job, Progressed
from tastemaker.workflows.training.version import train
from tastemaker.workflows.workspace import Workspace

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_PROC = Path("/proc/self")
_FIRST_TO_END = "500"
"""The kernel's score for this process, of -1000 to 1000: without memory it ends the child, not the run."""


def serve(pipe: Connection, settings: Settings, environment: Mapping[str, str]) -> None:
    """Do the jobs that come through the pipe until it or the parent ends.

    Args:
        pipe: Yields jobs; takes their progress and ends.
        settings: The settings of the run.
        environment: The environment of the run, which is not that of the server process.
    """
    os.setsid()  # the parent ends this process with all that a model started
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # standard output may be a command's JSON
    os.environ.clear()
    os.environ.update(environment)
    with suppress(OSError):
        (_PROC / "oom_score_adj").write_text(_FIRST_TO_END)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    workspace = Workspace(settings)
    gc.freeze()  # what is imported is not searched for garbage before each job
    with suppress(EOFError):
        while True:
            pipe.send(_answer(workspace, pipe.recv(), lambda *done: pipe.send(Progressed(*done))))


def _answer(workspace: Workspace, job: Job, progress: Callable[[int, int], None]) -> Finished:
    if job.model:
        _forget_peak()
    started, clock, processor = time.time(), time.perf_counter(), _processor_seconds()
    try:
        result, is_new = _done(workspace, job, progress, started)
    except Exception as error:
        result, is_new = _portable(job, error), True
    cost = Cost(
        time.perf_counter() - clock, _processor_seconds() - processor, _peak_bytes() if is_new else None
    )
    return Finished(result, is_new, cost)


def _done(
    workspace: Workspace, job: Job, progress: Callable[[int, int], None], started: float
) -> tuple[Any, bool]:
    if job.step == "data":
        workspace.split()
        return workspace.dataset().events.count, False
    plugin = discovery.get(job.model)
    if job.step == "backtest":
        backtest = workspace.backtest(plugin, progress=progress)
        return backtest, backtest.created_at.timestamp() >= started
    version = train(workspace, plugin)
    return version, version.created_at.timestamp() >= started


def _portable(job: Job, error: Exception) -> Exception:
    """Return an error that can be sent: in words, or as a defect with its stack trace as a note."""
    if isinstance(error, TastemakerError):
        return error
    if job.model:
        return TastemakerError(reason_of(job.model, error))
    if (refusal := in_words(error)) is not None:
        return refusal
    unexpected = RuntimeError(f"{type(error).__name__}: {error}")
    unexpected.add_note("".join(traceback.format_exception(error)))
    return unexpected


def _processor_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _forget_peak() -> None:
    """Return freed memory to the system, and begin the peak again, where the system can do so."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        (_PROC / "clear_refs").write_text("5")


def _peak_bytes() -> int:
    """Return the largest resident memory since `_forget_peak`; of the whole process where Linux is not."""
    with suppress(OSError, ValueError):
        lines = dict(line.split(":", 1) for line in (_PROC / "status").read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _end_with_parent() -> None:
    """End this process and all that a model started, once the run has ended."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)
