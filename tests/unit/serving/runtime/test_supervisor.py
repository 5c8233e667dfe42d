"""No end of a worker is missed by the supervisor."""

from __future__ import annotations

import subprocess
from typing import Any

import psutil
import pytest
from circus.process import DEAD_OR_ZOMBIE, RUNNING, UNEXISTING
from circus.watcher import Watcher

from support import visited_service
from tastemaker.serving.runtime.supervisor import reap_and_manage


class Worker:
    """A process as circus has it."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(["sleep", "600"])
        self._process = psutil.Process(self._child.pid)
        self.pid, self.started = self._child.pid, 0.0

    @property
    def status(self) -> int:
        try:
            is_dead = self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return int(UNEXISTING)
        return int(DEAD_OR_ZOMBIE if is_dead else RUNNING)

    def kill(self) -> None:
        """Kill it; nothing waits for it yet, so that it stays a zombie."""
        self._process.kill()
        visited_service.until(lambda: self.status == DEAD_OR_ZOMBIE, "it does not die")

    def wait(self) -> None:
        """Reap it."""
        self._child.wait(10)

    def stop(self) -> None:
        """There is nothing to stop."""


@pytest.mark.processes
def test_a_worker_that_circus_finds_dead_itself_is_reported() -> None:
    ended: list[tuple[int, int]] = []

    def note(process_pid: int, exit_code: int, **_: Any) -> None:
        ended.append((process_pid, exit_code))

    killed, left = Worker(), Worker()
    watcher = Watcher("workers", "sleep 600", numprocesses=1)
    watcher.processes = {one.pid: one for one in (killed, left)}
    watcher._status = "active"
    watcher.hooks["after_reap"] = note
    try:
        killed.kill()
        reap_and_manage(watcher, watcher.manage_processes)
        assert ended == [(killed.pid, -9)]
        assert list(watcher.processes) == [left.pid]
    finally:
        left.kill()
        for one in (killed, left):
            one.wait()
