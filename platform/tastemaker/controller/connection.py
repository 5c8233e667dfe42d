"""One kept-alive HTTP/1.1 connection to a service, with one request on its way at a time.

It does what a forwarded request needs and no more: the request is one piece of bytes, the reply is read by
uvicorn's own parser (`httptools`). A general client costs several times what the gateway does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple, cast

import httptools

FailureReason = Literal["unreachable", "lost", "late", "overloaded", "refused"]
"""Why a service gave no answer: no connection; a connection that ended before the answer; not before the
deadline; too many requests waited for it; it said that it can't (a status of 500 and above)."""


class NoAnswerError(Exception):
    """A service gave no answer."""

    def __init__(self, reason: FailureReason, *, was_idle: bool = False) -> None:
        """Say why a service gave no answer.

        Args:
            reason: Why, in a word.
            was_idle: Whether the service may have closed the connection for being idle as the request was
                sent, so that it may be sent again.
        """
        super().__init__(reason)
        self.reason = reason
        self.was_idle = was_idle
        """Whether it may have closed a connection that was idle as the request was sent."""


class ServiceReply(NamedTuple):
    """What a service answered."""

    status: int
    body: bytes
    content_type: bytes


Pending = asyncio.Future[ServiceReply]


class ServiceConnection(asyncio.Protocol):
    """A connection. Its owner sends a request only while `pending` is None."""

    def __init__(
        self, freed: Callable[[ServiceConnection], None], ended: Callable[[ServiceConnection], None]
    ) -> None:
        """Wait for the transport.

        Args:
            freed: Called once the next request may be sent.
            ended: Called when the connection is closed, by whichever side.
        """
        self._freed, self._ended = freed, ended
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.pending: Pending | None = None
        self._body: list[bytes] = []
        self._content_type = b""
        self._answered = 0
        self._is_heard = False
        """Whether a part of the answer has come."""

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, pending: Pending) -> None:
        """Send a request, while the connection is open and `pending` is None.

        Args:
            request: The whole request of HTTP/1.1: its line, headers and body.
            pending: Gets the reply, or NoAnswerError if the connection ends before.
        """
        self.pending, self._is_heard = pending, False
        assert self._transport is not None
        self._transport.write(request)

    def abort(self) -> None:
        """Close at once, such as where the answer is not waited for any more."""
        if self._transport is not None:
            self._transport.abort()

    # Of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        self._is_heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        pending, self.pending = self.pending, None
        if pending is not None and not pending.done():
            was_idle = self._answered > 0 and not self._is_heard
            pending.set_exception(NoAnswerError("lost", was_idle=was_idle))
        self._ended(self)

    # Of the parser

    def on_message_begin(self) -> None:
        self._body, self._content_type = [], b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Remember the content type of the reply. The parser calls it for each header.

        Args:
            name: As the service wrote it, in any case.
            value: Without the space around it.
        """
        if name.lower() == b"content-type":
            self._content_type = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        pending, self.pending = self.pending, None
        if pending is None:  # an answer that was not asked for
            self.abort()
            return
        self._answered += 1
        if not pending.done():
            status = self._parser.get_status_code()
            pending.set_result(ServiceReply(status, b"".join(self._body), self._content_type))
        if self._parser.should_keep_alive():
            self._freed(self)
        else:
            self.abort()
