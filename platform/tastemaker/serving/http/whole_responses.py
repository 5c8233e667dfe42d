"""Writes a response to its connection in one piece.

uvicorn's own `send` takes a response in any number of pieces, and searches each header for characters that it
may not have: a sixth of the event loop's time. What is written here was made by `asgi.send_reply`: all of the
body at once, with a Content-Length, and no header that a caller chose, but for a request id that was checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from tastemaker.serving.http.asgi import Message

CLOSE = (b"connection", b"close")


class WholeResponse:
    """The response to one request: `send` is ASGI's, for one message with the start and one with the body."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        """`cycle`: uvicorn's state of the request."""
        self._cycle = cycle
        self._start: Message = {}

    async def send(self, message: Message) -> None:
        """Keep the start; write it together with the body, unless the caller has gone."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        headers = self._start["headers"]
        if CLOSE in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            headers = [*headers, CLOSE]
        default = _lines_again(tuple(cycle.default_headers))
        start = STATUS_LINE[self._start["status"]], default, header_lines(headers)
        cycle.transport.write(b"".join((*start, b"\r\n", message["body"])))
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as they are sent."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


_lines_again = lru_cache(maxsize=8)(header_lines)
"""For the server's own headers, which are the same for a second: its name and the date."""
