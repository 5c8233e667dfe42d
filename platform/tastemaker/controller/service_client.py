"""The client of one service: bounded connections, a bounded queue, and a deadline for every request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import NamedTuple

from tastemaker.controller.connection import NoAnswerError, Pending, ServiceConnection
from tastemaker.experiments.service_address import ServiceAddress

MAX_CONNECTIONS = 128
"""To one service, of one worker: twice the largest batch of a model."""


class ClientLimits(NamedTuple):
    """The limits of a client."""

    seconds: float
    """From when a request is sent or queued to its answer."""
    waiting: int = 1_000
    """Requests that may wait for a connection."""
    connections: int = MAX_CONNECTIONS


class ServiceClient:
    """Sends requests to one service. All methods are for one event loop's thread."""

    def __init__(self, address: ServiceAddress, limits: ClientLimits) -> None:
        """Prepare to send requests to a service; the first one opens a connection.

        Args:
            address: Where the service listens: a Unix socket, or a host and port.
            limits: The deadline of each request, and the most connections and waiting requests.
        """
        self._address, self._limits = address, limits
        self._idle: list[ServiceConnection] = []
        self._open: set[ServiceConnection] = set()
        self._connecting = 0
        self._queue: deque[tuple[bytes, Pending]] = deque()
        self._due: deque[tuple[float, Pending]] = deque()
        """By deadline, which is as long for all; answered ones leave when they come to the front."""
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def send(self, request: bytes) -> Pending:
        """Send a request; return its reply as a future, which is done at the deadline at the latest.

        The future raises NoAnswerError.
        """
        loop = asyncio.get_running_loop()
        pending: Pending = loop.create_future()
        if self._idle:
            self._idle.pop().send(request, pending)
        elif len(self._queue) >= self._limits.waiting:
            pending.set_exception(NoAnswerError("overloaded"))
            return pending
        else:
            self._queue.append((request, pending))
            if len(self._open) + self._connecting < self._limits.connections:
                self._connect(loop)
        self._due.append((time.monotonic() + self._limits.seconds, pending))
        if self._timer is None:
            self._timer = loop.call_later(self._limits.seconds, self._expire, loop)
        return pending

    def close(self) -> None:
        """Close all connections; what still waits fails."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        for connection in tuple(self._open):
            connection.abort()
        self._fail_queue()

    def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        self._connecting += 1
        task = loop.create_task(self._connected())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self) -> None:
        """Open a connection for what waits; without one, all that waits fails at once."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                connection = await self._opened()
        except (OSError, TimeoutError):
            if self._connecting == 1 and not self._open:
                self._fail_queue()
            return
        finally:
            self._connecting -= 1
        if connection.is_open:
            self._open.add(connection)
            self._freed(connection)

    async def _opened(self) -> ServiceConnection:
        loop, address = asyncio.get_running_loop(), self._address
        make = partial(ServiceConnection, self._freed, self._ended)
        if address.socket is not None:
            return (await loop.create_unix_connection(make, str(address.socket)))[1]
        return (await loop.create_connection(make, address.host, address.port, ssl=address.secure or None))[1]

    def _freed(self, connection: ServiceConnection) -> None:
        """Send the next request that waits, or keep the connection."""
        while self._queue:
            request, pending = self._queue.popleft()
            if not pending.done():
                connection.send(request, pending)
                return
        self._idle.append(connection)

    def _ended(self, connection: ServiceConnection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._queue and not self._is_closed:
            self._connect(asyncio.get_running_loop())

    def _fail_queue(self) -> None:
        while self._queue:
            _, pending = self._queue.popleft()
            if not pending.done():
                pending.set_exception(NoAnswerError("unreachable"))

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail what is late, and close the connections whose answers would be."""
        self._timer = None
        now = time.monotonic()
        late = False
        while self._due and (self._due[0][1].done() or self._due[0][0] <= now):
            _, pending = self._due.popleft()
            if not pending.done():
                late = True
                pending.set_exception(NoAnswerError("late"))
        if late:
            for connection in [one for one in self._open if one.pending is not None and one.pending.done()]:
                connection.abort()
        if self._due:
            self._timer = loop.call_later(self._due[0][0] - now, self._expire, loop)
