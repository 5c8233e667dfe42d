"""The parent's side of the child process that trains: it starts it, asks it, and ends it at a limit.

The kernel's own limits do not fit: RLIMIT_AS counts mapped files and the reserved stacks of threads, and a
library that is refused memory under RLIMIT_DATA may end the process without a word (decision 0087).
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Self

import psutil

from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.trainings.records import Cost
from tastemaker.util.byte_sizes import byte_size
from tastemaker.workflows.training.jobs import Finished, Job
from tastemaker.workflows.training.memory import FIX, described_limit, memory_limit

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext
    from multiprocessing.process import BaseProcess

_CHILD = "tastemaker.workflows.training.child"
LOOK_SECONDS = 0.05
"""Seconds between two looks at the child's memory."""
DESCENDANTS_SECONDS = 1.0
"""Seconds between two looks for processes that the model has started: each look reads all processes."""
ENDING_SECONDS = 10.0
"""Seconds that an idle child may take to end."""


class TrainingEndedError(TastemakerError):
    """Error: the child process ended before its job, with what it cost until then.

    Args:
        problem: What happened, in words.
        fix: What to do about it.
        cost: The time since the job began, and the most memory that was seen.
    """

    def __init__(self, problem: str, *, fix: str, cost: Cost) -> None:
        super().__init__(problem, fix=fix)
        self.cost = cost


class ChildProcess:
    """A running child process, used by one thread at a time.

    Args:
        process: The process, which was started.
        pipe: This side's end of the pipe to it.
        settings: Limit the memory that it may use.
    """

    def __init__(self, process: BaseProcess, pipe: Connection, settings: Settings) -> None:
        self._process, self._pipe, self._settings = process, pipe, settings
        self._limit = memory_limit(settings)
        self._watched = psutil.Process(process.pid)
        self._descendants: list[psutil.Process] = []
        self._descendants_at = 0.0
        self._is_idle = True

    @classmethod
    def start(cls, settings: Settings) -> Self:
        """Start a child, which ends with this process."""
        from tastemaker.workflows.training.child import serve

        context = warm_up()
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, settings, dict(os.environ)), daemon=False)
        process.start()
        theirs.close()  # so that the pipe ends when the process does
        child = cls(process, ours, settings)
        atexit.register(child.end)  # multiprocessing would wait for it, and it for a job
        return child

    def ask(self, job: Job, progress: Callable[[int, int], None]) -> Finished:
        """Have a job done.

        Args:
            job: What the process does: read the data, a backtest or a version.
            progress: Called with the number of users evaluated, and of all.

        Returns:
            The end of the job, also of one that failed, with what it cost.

        Raises:
            TrainingEndedError: The process used more memory than it may, or ended otherwise.
        """
        started, processor, cost = time.perf_counter(), self._processor_seconds(), Cost()
        try:
            self._pipe.send(job)
            self._is_idle = False
            while True:
                if self._pipe.poll(LOOK_SECONDS):
                    message = self._pipe.recv()
                    if isinstance(message, Finished):
                        self._is_idle = True
                        seen = Cost(peak_bytes=cost.peak_bytes if message.is_new else None)
                        return message._replace(cost=seen.plus(message.cost))
                    progress(*message)
                used = self._used_bytes()
                cost = Cost(
                    time.perf_counter() - started,
                    max(0.0, self._processor_seconds() - processor),
                    max(cost.peak_bytes or 0, used),
                )
                if used > self._limit:
                    raise self._over_limit(job, cost)
                if not self._process.is_alive():
                    raise EOFError
        except (EOFError, OSError) as error:
            raise self._died(job, cost) from error

    def end(self) -> None:
        """End the process and all that a model started in it; an idle one ends by itself.

        A killed process gives back no semaphore, and Python warns of leaked ones when the run ends: a lock of
        multiprocessing has one, such as tqdm's.
        """
        atexit.unregister(self.end)
        if self._is_idle:
            self._pipe.close()
            self._process.join(ENDING_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()  # also before it leads a group of its own
        self._process.join()
        self._pipe.close()

    def _used_bytes(self) -> int:
        """Return the resident memory of the process and of those that it started."""
        now = time.monotonic()
        with suppress(psutil.Error):
            if now - self._descendants_at > DESCENDANTS_SECONDS:
                self._descendants_at, self._descendants = now, self._watched.children(recursive=True)
        return sum(_resident_bytes(one) for one in (self._watched, *self._descendants))

    def _processor_seconds(self) -> float:
        with suppress(psutil.Error):
            used = self._watched.cpu_times()
            return float(used.user + used.system)
        return 0.0

    def _over_limit(self, job: Job, cost: Cost) -> TrainingEndedError:
        return TrainingEndedError(
            f"{described(job)} was ended: it used {byte_size(cost.peak_bytes or 0)} of memory and may use "
            f"{described_limit(self._limit, self._settings)}",
            fix=FIX,
            cost=cost,
        )

    def _died(self, job: Job, cost: Cost) -> TrainingEndedError:
        self._process.join(ENDING_SECONDS)
        status = self._process.exitcode
        used = f"it had used {byte_size(cost.peak_bytes or 0)} of memory"
        if status == -signal.SIGKILL:
            return TrainingEndedError(
                f"{described(job)} was killed from outside, most likely by the system for lack of memory: "
                f"{used} and may use {described_limit(self._limit, self._settings)}",
                fix="end other processes, or set automation.training_memory_bytes to what is free, so that a "
                "training that needs more is refused before it starts",
                cost=cost,
            )
        how = f"exit status {status}" if status is None or status >= 0 else signal.Signals(-status).name
        return TrainingEndedError(
            f"{described(job)} ended its process ({how}); {used}",
            fix="see the model's code and libraries: a native extension may have failed",
            cost=cost,
        )


def warm_up() -> ForkServerContext:
    """Start the server process that forks children, if it does not run, without waiting for its imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_CHILD])
    forkserver.ensure_running()
    return context


def described(job: Job) -> str:
    """Return what a job does, as the subject of a sentence."""
    return f"the training of {job.model}" if job.model else "reading the data"


def _resident_bytes(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
