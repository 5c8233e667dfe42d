"""Supervision of the workers: one that ends is logged and replaced within a second.

BentoML's own supervisor polls every ten seconds, and in a container replaces no worker. Its arbiter is
replaced by one that polls more often, and that may listen on a Unix socket, for which BentoML has no option;
what it does then stays BentoML's.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bentoml._internal.utils import circus
from circus.process import DEAD_OR_ZOMBIE, UNEXISTING
from circus.sockets import CircusSocket

from tastemaker.serving.runtime.server_command import SOCKET
from tastemaker.serving.runtime.worker_slots import Workers

WORKER_POLL_SECONDS = 0.25
MAX_RESTART_SECONDS = 10.0
"""Between the starts of workers that end before they serve: doubled from one to the next, up to this."""

logger = logging.getLogger("tastemaker.serving")


def supervise(folder: Path) -> None:
    """Have the server that this process becomes replace its workers at once.

    `folder`: shared with them.
    """
    vars(circus)["Arbiter"] = partial(Supervisor, workers=Workers(folder))  # where BentoML looks it up


class Supervisor(circus.Arbiter):
    """Replaces workers that end."""

    def __init__(
        self, watchers: Sequence[Any], *, workers: Workers, sockets: Sequence[CircusSocket] = (), **more: Any
    ) -> None:
        """Supervise as BentoML's arbiter does, with shorter pauses.

        Args:
            watchers: The groups of processes that the server starts, as circus has them.
            workers: The places of the workers, of which as many are expected as the watchers start processes.
            sockets: What the server listens on, unless the environment names a Unix socket.
            more: Further arguments of BentoML's arbiter.
        """
        more["check_delay"] = WORKER_POLL_SECONDS
        super().__init__(watchers, sockets=_on_unix_socket(sockets), **more)
        self._workers = workers
        self._never_ready, self._restart_at = 0, 0.0
        for watcher in watchers:
            watcher.hooks["after_reap"] = self._ended
            watcher.manage_processes = partial(reap_and_manage, watcher, watcher.manage_processes)
        workers.expect(sum(watcher.numprocesses for watcher in watchers))

    def manage_watchers(self) -> Any:
        """Replace workers that ended: not while the arbiter starts or stops, nor before the next restart."""
        busy = self._exclusive_running_command is not None or self._restarting
        return None if busy or time.monotonic() < self._restart_at else super().manage_watchers()

    def _ended(self, watcher: Any, process_pid: int, exit_code: int | None, **_: Any) -> None:
        if self._stopping or watcher.is_stopping() or watcher.is_stopped():
            return
        slots = self._workers.slots()
        number = next((one for one, slot in slots.items() if slot.process == process_pid), None)
        logger.error(
            "worker %s (process %d) %s; another starts", number or "", process_pid, _worded(exit_code)
        )
        if any(slot.ready for slot in slots.values()):
            watcher.respawn = True  # BentoML leaves it to the container, which sees one process only
        if number is not None and slots[number].ready:
            self._never_ready = 0
            return
        self._never_ready += 1
        self._restart_at = time.monotonic() + min(2**self._never_ready / 2, MAX_RESTART_SECONDS)


def reap_and_manage(watcher: Any, manage: Callable[[], Any]) -> Any:
    """Replace the processes of a watcher that ended, none of which is missed by its hook.

    Circus forgets a process here that it finds dead, without calling the hook: one that has just died, or
    whose threads are still ending, which takes a while on a busy machine.

    Args:
        watcher: Of circus.
        manage: Its own `manage_processes`.

    Returns:
        What `manage` returns, a future.
    """
    for pid, process in list(watcher.processes.items()):
        if process.status in (DEAD_OR_ZOMBIE, UNEXISTING):
            watcher.reap_process(pid)
    return manage()


def _on_unix_socket(sockets: Sequence[CircusSocket]) -> Sequence[CircusSocket]:
    """Return what the server listens on: a socket for its own user only, if the environment names one."""
    path = os.environ.get(SOCKET)
    if path is None:
        return sockets
    for one in sockets:
        one.close()
    return [
        CircusSocket(one.name, path=path, backlog=one.backlog, umask=0o177, replace=True) for one in sockets
    ]


def _worded(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return "ended" if exit_code is None else f"ended with status {exit_code}"
    return f"was killed by {signal.Signals(-exit_code).name}"
