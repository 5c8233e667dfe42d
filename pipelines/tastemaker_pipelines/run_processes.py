"""Runs whose process is gone: killed, or with a machine that was switched off.

Dagster notices that a run's process died only while the server that started it lives. A run of
`tastemaker run` has none, and its places in pools would stay taken. The process of a run therefore holds the
lock on a file, which the system releases when the process ends, however it ends. A file is made and locked,
and removed, under a lock that all processes share: a file without its lock belongs to no process that begins
or ends. Each run looks for such files while it lives: it may wait for a place that a lost run holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import dagster as dg

from tastemaker.settings import Settings
from tastemaker.util.file_lock import file_lock
from tastemaker.util.poller import Poller

LOOK_SECONDS = 5.0
"""Seconds between two looks of a run for others whose process is gone."""
REASON = "The process of the run ended without a result: it was killed, or the machine was switched off."


@contextmanager
def run_process(settings: Settings, instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Show within the block that the process of a run lives, and end the runs of which that is not shown.

    Args:
        settings: Name the home folder, in which the runs' files are.
        instance: The instance that keeps the run.
        run_id: The id of Dagster's run, which this process executes.

    Yields:
        Nothing, once; other runs are looked for every five seconds until the block ends.
    """

    def look() -> None:
        end_lost_runs(settings, instance)

    with _shown(settings, run_id), closing(Poller(look, seconds=LOOK_SECONDS, name="lost runs")):
        yield


@contextmanager
def _shown(settings: Settings, run_id: str) -> Iterator[None]:
    path = _folder(settings) / run_id
    with ExitStack() as stack:
        try:
            with _looking(settings):
                stack.enter_context(file_lock(path, wait=False))
        except BlockingIOError:  # another process of the same run shows it
            yield
            return
        try:
            yield
        finally:
            with _looking(settings):
                path.unlink(missing_ok=True)


def end_lost_runs(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone, and free their places in pools; return their ids.

    Args:
        settings: Name the home folder, in which the runs' files are.
        instance: The instance that keeps the runs.
    """
    ended = []
    for path in _folder(settings).glob("*"):
        with ExitStack() as stack:
            stack.enter_context(_looking(settings))
            if not path.exists():
                continue  # its process has just ended
            try:
                stack.enter_context(file_lock(path, wait=False))
            except BlockingIOError:
                continue  # its process lives
            run = instance.get_run_by_id(path.name)
            if run is None:
                continue  # another instance keeps it
            if not run.is_finished:
                instance.report_run_failed(run, REASON)
                ended.append(run.run_id)
            instance.event_log_storage.free_concurrency_slots_for_run(path.name)
            path.unlink(missing_ok=True)
    return ended


def _looking(settings: Settings) -> AbstractContextManager[None]:
    """Hold the lock under which files are made, removed, or found without their lock."""
    return file_lock(settings.home / "dagster" / "processes.lock")


def _folder(settings: Settings) -> Path:
    return settings.home / "dagster" / "processes"
