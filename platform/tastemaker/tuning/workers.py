"""Who measures: this process, or several of them, each with the data loaded once.

Each worker has a thread of its own here, and a pipe that no other worker holds. Those of a
ProcessPoolExecutor share a queue: one that is killed may take the queue's lock along, others wait for it for
ever, and the pool waits for them: it ends them with SIGTERM, which a process may ignore.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.tuning.trial import Measured, TrialBench

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from tastemaker.dataset.dataset import Dataset
    from tastemaker.plugins import Config
    from tastemaker.plugins.discovery import Plugin

Submit = Callable[["Config"], "Future[Measured]"]

LOOK_SECONDS = 1.0
"""Is the worker still there? The pipe does not end with it where the model forked, and left that running."""
ENDING_SECONDS = 10.0
"""How long a worker that measures nothing may take to end by itself."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def measuring(bench: TrialBench, load: Callable[[], Dataset], jobs: int) -> Iterator[Submit]:
    """Start `jobs` measurements at a time; `load` loads the data in each worker process, and is pickled.

    Raises TastemakerError in words when a worker process dies."""
    if jobs == 1:
        with ThreadPoolExecutor(1) as pool:
            yield lambda config: pool.submit(bench.measure, config)
        return
    idle: SimpleQueue[_Worker] = SimpleQueue()

    def measure(config: Config) -> Measured:
        worker = idle.get()
        try:
            return worker.measure(config)
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(jobs) as pool, ExitStack() as workers:
        with _threads_each(max(1, (os.cpu_count() or 1) // jobs)):
            for _ in range(jobs):
                idle.put(workers.enter_context(_worker(load, bench.plugin)))
        try:
            yield lambda config: pool.submit(measure, config)
        except _DiedError as error:
            raise TastemakerError(
                "a worker process died, most likely for lack of memory; trials that had ended are kept",
                fix="go on with fewer --jobs",
            ) from error


@contextmanager
def _threads_each(count: int) -> Iterator[None]:
    """What the libraries of a process that starts meanwhile read: together they use the processors once."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class _DiedError(Exception):
    """A worker process is gone."""


class _Worker:
    """This process's end of one that measures. One thread at a time may use it."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self._process, self._pipe = process, pipe

    def measure(self, config: Config) -> Measured:
        """As Bench.measure. Raises _DiedError too."""
        try:
            self._pipe.send(config)
            while not self._pipe.poll(LOOK_SECONDS):
                if not self._process.is_alive():
                    raise EOFError
            answer: Measured | Exception = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise _DiedError from error
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def _worker(load: Callable[[], Dataset], plugin: Plugin) -> Iterator[_Worker]:
    """A process that ends with the block. It is started afresh: threads do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, load, plugin))
    process.start()
    try:
        theirs.close()  # so that the pipe ends when the process does
        yield _Worker(process, ours)
        ours.close()  # nothing more is asked of it: it ends by itself
        process.join(ENDING_SECONDS)
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, load: Callable[[], Dataset], plugin: Plugin) -> None:
    """Load the data, then measure each config that comes, until the parent ends, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    bench = TrialBench.inside(load(), plugin)
    with suppress(EOFError):
        while True:
            pipe.send(_answer(bench, pipe.recv()))


def _answer(bench: TrialBench, config: Config) -> Measured | Exception:
    try:
        return bench.measure(config)
    except Exception as error:
        return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
