"""Two loads for the serving benchmark: wrk, which asks as fast as it is answered, and a paced client.

wrk has no rate limit, and its latencies are those of requests that it was free to send. The paced client
draws arrival times from a Poisson process, and measures each answer from the moment at which the request was
due, whether or not a connection was free then: a server that stalls makes all late who came meanwhile (Tene,
How NOT to measure latency, 2013). What the client itself is late is in its figures too.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from selectors import SelectSelector
from typing import NamedTuple

import numpy as np

CONNECTIONS = 32
_SCRIPT = """
local n = 0
request = function()
  n = (n * 1103515245 + 12345) % 2147483648
  local body = string.format('{"user_id":"user-%06d","k":10}', n % {users})
  return wrk.format("POST", "/recommend", {["content-type"] = "application/json"}, body)
end
"""


class Flood(NamedTuple):
    """What wrk says."""

    per_second: float
    failed: int


class Paced(NamedTuple):
    """What the paced client saw, in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def flood(port: int, seconds: float, users: int, folder: Path) -> Flood:
    """One thread of wrk with 32 connections."""
    script = folder / "post.lua"
    script.write_text(_SCRIPT.replace("{users}", str(users)))
    url = f"http://127.0.0.1:{port}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    if rate is None:
        raise RuntimeError(f"wrk said:\n{said}")
    return Flood(float(rate[1]), int(failed[1]) if failed else 0)


def paced(port: int, per_second: float, seconds: float, users: int) -> Paced:
    """Requests at Poisson moments."""
    # select() sleeps to the microsecond; epoll(), to the millisecond, would send the requests late.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())) as runner:
        return runner.run(_paced(port, per_second, seconds, users))


async def _paced(port: int, per_second: float, seconds: float, users: int) -> Paced:
    rng = np.random.default_rng(0)
    gaps = rng.exponential(1 / per_second, int(per_second * seconds))
    due = np.cumsum(gaps).tolist()
    asked = rng.integers(0, users, len(due)).tolist()
    loop = asyncio.get_running_loop()
    client = _Client()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Connection(client), "127.0.0.1", port)
    start, sent = time.perf_counter() + 0.1, 0
    while sent < len(due):
        now = time.perf_counter() - start
        while sent < len(due) and due[sent] <= now:
            client.send(start + due[sent], _request(asked[sent]))
            sent += 1
        if sent < len(due):  # asleep, for the servers need the processors
            await asyncio.sleep(start + due[sent] - time.perf_counter())
    end = time.perf_counter() + 10
    while client.waiting and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    took = np.array(client.seconds) * 1_000
    p50, p99 = np.percentile(took, [50, 99])
    return Paced(per_second, float(p50), float(p99), client.failed + len(due) - len(took))


def _request(user: int) -> bytes:
    body = b'{"user_id":"user-%06d","k":10}' % user
    head = b"POST /recommend HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class _Client:
    """Hands requests to free connections, the longest due first."""

    def __init__(self) -> None:
        self.free: deque[_Connection] = deque()
        self.backlog: deque[tuple[float, bytes]] = deque()
        self.seconds: list[float] = []
        self.waiting = self.failed = 0

    def send(self, due: float, request: bytes) -> None:
        self.waiting += 1
        if self.free:
            self.free.popleft().ask(due, request)
        else:
            self.backlog.append((due, request))

    def answered(self, connection: _Connection, due: float, status: bytes) -> None:
        self.waiting -= 1
        self.seconds.append(time.perf_counter() - due)
        self.failed += status != b"200"
        if self.backlog:
            connection.ask(*self.backlog.popleft())
        else:
            self.free.append(connection)


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, client: _Client) -> None:
        self._client, self._got, self._due = client, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._client.free.append(self)

    def ask(self, due: float, request: bytes) -> None:
        self._due, self._got = due, b""
        assert isinstance(self._transport, asyncio.WriteTransport)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head) if found else None
        if length is not None and len(body) >= int(length[1]):
            self._client.answered(self, self._due, head[9:12])


def ratios(ours: Sequence[Flood], theirs: Sequence[Flood]) -> float:
    """The median, over rounds that were side by side, of how many times faster ours was."""
    pairs = zip(ours, theirs, strict=True)
    return float(np.median([our.per_second / their.per_second for our, their in pairs]))
