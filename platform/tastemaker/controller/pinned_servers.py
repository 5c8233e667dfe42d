"""Starts, restarts and stops the services of the plan that listen on Unix sockets, and the guard.

Each is `bentoml serve` of one pinned version, in processes of its own: one that hangs or dies takes nothing
with it. They are children of the controller's server and end with it, however it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from tastemaker.api.control import CONTROLLED
from tastemaker.controller.kept_process import KeptProcess
from tastemaker.experiments.plan import PinnedService
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.experiments.service_address import UNIX, parse_address
from tastemaker.serving.runtime.parent_process import SERVER
from tastemaker.serving.runtime.server_command import (
    SOCKET,
    server_command,
    server_environment,
    service_target,
)
from tastemaker.serving.runtime.version_selection import CHOSEN, PINNED
from tastemaker.serving.runtime.worker_slots import METRICS_FOLDER
from tastemaker.settings import Settings
from tastemaker.util.poller import Poller

LOOK_SECONDS = 0.25
LEAVE_SECONDS = 3.0
"""How long a service that left the plan still runs: the workers look at the plan once a second."""
Start = Callable[[PinnedService], "subprocess.Popen[bytes]"]
StartGuard = Callable[[], "subprocess.Popen[bytes]"]


class PinnedServers:
    """The processes of the plan's services and the guard of its experiments, in the controller's server."""

    def __init__(self, plans: PlanFile, start: Start, start_guard: StartGuard) -> None:
        """Follow a plan.

        Args:
            plans: Gives the plan in force.
            start: Starts a service.
            start_guard: Starts the guard.
        """
        self._plans, self._start = plans, start
        self._servers: dict[PinnedService, KeptProcess] = {}
        self._guard = KeptProcess("the guard of experiments", start_guard)
        self.look()
        self._poller = Poller(self.look, seconds=LOOK_SECONDS, name="services")

    def close(self) -> None:
        """Stop all processes; returns when they have ended."""
        self._poller.close()
        kept = [self._guard, *self._servers.values()]
        for one in kept:
            one.terminate()
        for one in kept:
            one.end()

    def look(self) -> None:
        """Start what is wanted and does not run, and stop what the plan no longer has."""
        now, plan = time.monotonic(), self._plans.current().plan
        wanted = [one for one in plan.services if one.address.startswith(UNIX)]
        for pinned in wanted:
            kept = self._servers.setdefault(
                pinned, KeptProcess(f"service {pinned.name}", partial(self._start, pinned))
            )
            kept.unwanted_since = None
            kept.keep(now)
        for pinned in [one for one in self._servers if one not in wanted]:
            kept = self._servers[pinned]
            kept.unwanted_since = kept.unwanted_since or now
            if now - kept.unwanted_since > LEAVE_SECONDS and kept.leave(now):
                del self._servers[pinned]
        if plan.experiments:
            self._guard.keep(now)


def start_guard(settings: Settings) -> subprocess.Popen[bytes]:
    """Start the process that checks guardrails, and turns trips into rollbacks. Raises OSError."""
    environment = dict(os.environ) | {
        "TASTEMAKER_HOME": str(settings.home.resolve()),
        SERVER: str(os.getpid()),
    }
    command = [sys.executable, "-m", "tastemaker.cli.main", "experiment", "guard", "--follow"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


def start_service(settings: Settings, pinned: PinnedService) -> subprocess.Popen[bytes]:
    """Start the server of a pinned version on its Unix socket.

    Args:
        settings: Of the home folder.
        pinned: The service's model and version, and the address of its socket.

    Returns:
        The process of the server, which may not listen yet. It leads a session of processes of its own.

    Raises:
        TastemakerError: The model has no service.
        OSError: The system refuses.
    """
    socket = parse_address(pinned.address).socket
    assert socket is not None
    socket.parent.resolve().mkdir(mode=0o700, parents=True, exist_ok=True)  # a link, if the home is deep
    environment = server_environment(settings.home, pinned.model, settings.experiments.service_workers)
    for name in (METRICS_FOLDER, CHOSEN):
        environment.pop(name, None)
    environment |= {
        PINNED: pinned.version,
        SOCKET: str(socket),
        CONTROLLED: "1",
        SERVER: str(os.getpid()),
    }
    command = server_command(service_target(pinned.model))
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
