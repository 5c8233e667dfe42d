"""Starts, restarts and stops the services of the plan that listen on Unix sockets.

Each is `bentoml serve` of one pinned version, in processes of its own: one that hangs or dies takes nothing
with it. They are children of the controller's server and end with it, however it ends.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable

from tastemaker.api.control import CONTROLLED
from tastemaker.controller.address import UNIX, parse_address
from tastemaker.errors import TastemakerError
from tastemaker.experiments.plan import PinnedService
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.serving.bento_server import METRICS_FOLDER, SERVER
from tastemaker.serving.runtime.server_command import server_command, server_environment, service_target
from tastemaker.serving.runtime.supervisor import SOCKET
from tastemaker.serving.runtime.version_selection import CHOSEN, PINNED
from tastemaker.settings import Settings
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.poller import Poller

LOOK_SECONDS = 0.25
LEAVE_SECONDS = 3.0
"""How long a service that left the plan still runs: the workers look at the plan once a second."""
STOP_SECONDS = 10.0
"""How long a service may take to end before it is killed."""
SOUND_SECONDS = 30.0
"""A service that ran so long is restarted at once when it dies."""
MAX_RESTART_SECONDS = 30.0
"""Between the starts of a service that dies sooner: doubled from one to the next, up to this."""

logger = logging.getLogger("tastemaker.controller")
Start = Callable[[PinnedService], "subprocess.Popen[bytes]"]


class PinnedServers:
    """The processes of the plan's services, in the controller's server."""

    def __init__(self, plans: PlanFile, start: Start) -> None:
        """Follow a plan; `start` starts a service."""
        self._plans, self._start = plans, start
        self._servers: dict[PinnedService, _Server] = {}
        self._look()
        self._poller = Poller(self._look, seconds=LOOK_SECONDS, name="services")

    def close(self) -> None:
        """Stop all services; returns when they have ended."""
        self._poller.close()
        for server in self._servers.values():
            server.terminate()
        for server in self._servers.values():
            server.end()

    def _look(self) -> None:
        now = time.monotonic()
        wanted = [one for one in self._plans.current().plan.services if one.address.startswith(UNIX)]
        for pinned in wanted:
            server = self._servers.setdefault(pinned, _Server(pinned, self._start))
            server.unwanted_since = None
            server.keep(now)
        for pinned in [one for one in self._servers if one not in wanted]:
            server = self._servers[pinned]
            server.unwanted_since = server.unwanted_since or now
            if now - server.unwanted_since > LEAVE_SECONDS and server.leave(now):
                del self._servers[pinned]


class _Server:
    """A service that is kept running."""

    def __init__(self, pinned: PinnedService, start: Start) -> None:
        self._pinned, self._start = pinned, start
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at, self._deaths = 0.0, 0
        self._asked_at: float | None = None
        """When it was asked to end."""
        self.unwanted_since: float | None = None
        self._failures = FailureLog(logger, f"service {pinned.name} can be started again")

    def keep(self, now: float) -> None:
        """Start it if it does not run, but not too often."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._died(status, now)
        if now >= self._start_at:
            self._begin(now)

    def leave(self, now: float) -> bool:
        """Ask it to end, and kill it if it takes too long; return whether it has ended."""
        if self._process is None or self._process.poll() is not None:
            return True
        if self._asked_at is None:
            self._asked_at = now
            self._process.terminate()
        elif now - self._asked_at > STOP_SECONDS:
            self._process.kill()
        return False

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def end(self) -> None:
        """Return once it has ended; kill it if it takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _begin(self, now: float) -> None:
        try:
            self._process = self._start(self._pinned)
        except (TastemakerError, OSError) as error:
            self._failures.failed(f"service {self._pinned.name} can't be started", detail=error)
            self._delay(now)
            return
        self._failures.succeeded()
        self._started_at, self._asked_at = now, None
        logger.info("service %s (process %d) starts", self._pinned.name, self._process.pid)

    def _died(self, status: int, now: float) -> None:
        logger.error("service %s ended with status %d; it is started again", self._pinned.name, status)
        self._process = None
        if now - self._started_at > SOUND_SECONDS:
            self._deaths = 0
            self._start_at = now
        else:
            self._delay(now)

    def _delay(self, now: float) -> None:
        self._deaths += 1
        self._start_at = now + min(2**self._deaths / 8, MAX_RESTART_SECONDS)


def start_service(settings: Settings, pinned: PinnedService) -> subprocess.Popen[bytes]:
    """Start the server of a pinned version on its Unix socket.

    Args:
        settings: Of the home folder.
        pinned: The service.

    Raises:
        TastemakerError: The model has no service.
        OSError: The system refuses.
    """
    socket = parse_address(pinned.address).socket
    assert socket is not None
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = server_environment(settings.home, pinned.model, workers=1)
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
