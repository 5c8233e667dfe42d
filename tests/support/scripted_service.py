"""A service that answers as a test says, on a Unix socket of the test's own event loop or as a process.

python scripted_service.py PORT VERSION
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from tastemaker.api import control
from tastemaker.api.control import ControlHeader
from tastemaker.event_log.records import Assignment


class Received(NamedTuple):
    """A request as the service got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def control(self) -> ControlHeader:
        """The controller's header."""
        return control.decode(self.headers["x-tastemaker-control"].encode())

    @property
    def assignment(self) -> Assignment:
        """What the controller assigned."""
        found = self.control.assignment
        assert found is not None
        return found

    @property
    def unit(self) -> str:
        """The assigned unit."""
        assert self.assignment.unit is not None
        return self.assignment.unit


class ScriptedService:
    """Answers lists of its version, or whatever `answer` returns; keeps what it received."""

    def __init__(self, version: str = "v1") -> None:
        self.version = version
        self.received: list[Received] = []
        self.answer: Callable[[Received], tuple[int, Any] | None] = self.lists
        """None: it closes the connection without an answer."""
        self.delay_seconds = 0.0
        self.closes = False
        """Whether it closes each connection after its answer."""
        self.connections = 0

    @property
    def asked(self) -> list[Received]:
        """The requests but for probes."""
        return [one for one in self.received if one.target != "/readyz"]

    def lists(self, request: Received) -> tuple[int, Any]:
        """A list of one item, named as the version."""
        if request.method == "GET":
            return 200, {"status": "ready"}
        items = [{"item_id": f"of-{self.version}", "score": 1.0, "propensity": 1.0}]
        answer = {"request_id": request.headers["x-request-id"], "model": "scripted", "version": self.version}
        return 200, answer | {"items": items, "fallback": None, "stage": "model"}

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[ScriptedService]:
        """Listen while the block runs."""
        server = await asyncio.start_unix_server(self._serve, str(path))
        try:
            yield self
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def serve(self, port: int) -> None:
        """Listen on a port without end."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.received.append(request)
                await asyncio.sleep(self.delay_seconds)
                said = self.answer(request)
                if said is None:
                    break
                status, body = said
                content = json.dumps(body).encode()
                head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
                writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
                if self.closes:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    """The next request of a connection; None once the caller closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Received(method, target, headers, await reader.readexactly(int(headers["content-length"])))


if __name__ == "__main__":
    asyncio.run(ScriptedService(sys.argv[2]).serve(int(sys.argv[1])))
