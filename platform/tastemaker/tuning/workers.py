"""Workers that measure configs: this process, or several processes, each of which loads the data once.

Each worker process has a thread in this process, and a pipe of its own. The workers of a ProcessPoolExecutor
share a queue instead: if one is killed while it holds the queue's lock, the others and the pool wait without
end.
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
"""Seconds between checks that a worker is alive: a forked process of the model may keep the pipe open."""
ENDING_SECONDS = 10.0
"""Seconds that an idle worker may take to end."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def measuring(bench: TrialBench, load: Callable[[], Dataset], jobs: int) -> Iterator[Submit]:
    """Yield a function that submits configs to be measured.

    Args:
        bench: The split and the model.
        load: Loads the data in each worker process; it is sent to them.
        jobs: The number of processes; 1 measures in this process.

    Raises:
        TastemakerError: A worker process died.
    """
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
                "a worker process died, most likely for lack of memory; finished trials are kept",
                fix="continue with fewer --jobs",
            ) from error


@contextmanager
def _threads_each(count: int) -> Iterator[None]:
    """Set the number of threads of processes that start meanwhile, so that all share the processors."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class _DiedError(Exception):
    """Error: a worker process has ended."""


class _Worker:
    """Proxy of a worker process, used by one thread at a time."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self._process, self._pipe = process, pipe

    def measure(self, config: Config) -> Measured:
        """Measure a config as `TrialBench.measure`; also raises _DiedError."""
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
    """Start a worker process, which ends with the block; it is spawned, as threads do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, load, plugin))
    process.start()
    try:
        theirs.close()  # so that the pipe ends when the process does
        yield _Worker(process, ours)
        ours.close()  # which ends the worker
        process.join(ENDING_SECONDS)
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, load: Callable[[], Dataset], plugin: Plugin) -> None:
    """Load the data, then measure each config that is received, until the parent ends."""
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
