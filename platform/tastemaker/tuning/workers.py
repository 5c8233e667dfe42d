"""Who measures: this process, or several of them, each with the data loaded once."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.tuning.bench import Bench, Measured

if TYPE_CHECKING:
    from tastemaker.plugins import Config
    from tastemaker.plugins.finder import Plugin
    from tastemaker.settings import Settings

Submit = Callable[["Config"], "Future[Measured]"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_bench: Bench | None = None
"""Of a worker process."""


@contextmanager
def measuring(bench: Bench, settings: Settings, jobs: int) -> Iterator[Submit]:
    """Start `jobs` measurements at a time. Processes are started afresh: threads do not survive a fork."""
    if jobs == 1:
        with ThreadPoolExecutor(1) as pool:
            yield lambda config: pool.submit(bench.measure, config)
        return
    with (
        _threads_each(max(1, (os.cpu_count() or 1) // jobs)),
        ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(settings, bench.plugin),
        ) as pool,
    ):
        try:
            yield lambda config: pool.submit(_measure, config)
        except BrokenProcessPool as error:
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


def _start(settings: Settings, plugin: Plugin) -> None:
    """Load the data in a worker, which ends with its parent, however that ends."""
    global _bench
    from tastemaker.workspace import Workspace

    threading.Thread(target=_end_with_parent, daemon=True).start()
    _bench = Bench.inside(Workspace(settings).dataset(), plugin)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _measure(config: Config) -> Measured:
    if _bench is None:
        raise RuntimeError("a worker was not started by `measuring`")
    return _bench.measure(config)
