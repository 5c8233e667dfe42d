"""Runs whose process is gone: killed, or with a machine that was switched off.

Dagster notices that a run's process died only while the server that started it lives. A run of
`tastemaker run` has none, and its places in pools would stay taken. The process of a run therefore holds the
lock on a file, which the system releases when the process ends, however it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg

from tastemaker.settings import Settings
from tastemaker.util.file_lock import file_lock

YOUNG_SECONDS = 10.0
"""How old a file must be: between its creation and its lock it belongs to a living process."""
REASON = "The process of the run ended without a result: it was killed, or the machine was switched off."


@contextmanager
def run_process(settings: Settings, run_id: str) -> Iterator[None]:
    """Show within the block that the process of a run lives."""
    path = _folder(settings) / run_id
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(path, wait=False))
        except BlockingIOError:  # another process of the same run shows it
            yield
            return
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def end_lost_runs(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone, and free their places in pools; return their ids.

    Args:
        settings: The home folder.
        instance: The instance that keeps the runs.
    """
    ended = []
    for path in _folder(settings).glob("*"):
        with ExitStack() as stack:
            try:
                if time.time() - path.stat().st_mtime < YOUNG_SECONDS:
                    continue
                stack.enter_context(file_lock(path, wait=False))
            except (BlockingIOError, FileNotFoundError):
                continue  # its process lives, or has just ended
            run = instance.get_run_by_id(path.name)
            if run is not None and not run.is_finished:
                instance.report_run_failed(run, REASON)
                ended.append(run.run_id)
            instance.event_log_storage.free_concurrency_slots_for_run(path.name)
            path.unlink(missing_ok=True)
    return ended


def _folder(settings: Settings) -> Path:
    return settings.home / "dagster" / "processes"
