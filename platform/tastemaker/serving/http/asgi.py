"""The little of ASGI that the gateway needs: types, reading a body, sending a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from types import coroutine
from typing import Any, NamedTuple, TypeVar

import msgspec

from tastemaker.api.schemas import MAX_BODY_BYTES, HTTPError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Mapping[bytes, bytes]
T = TypeVar("T")

JSON = b"application/json"
PROBLEM = b"application/problem+json"
HTML = b"text/html; charset=utf-8"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"

_READABLE = (b"", JSON, b"application/x-www-form-urlencoded")
"""Bodies are JSON; `curl -d` labels them as a form."""
BODY_SECONDS = 5
"""How long a caller may take to send a body."""
MAX_HELD_BYTES = 64 << 20
"""The most bytes of all bodies that one worker is receiving."""
_MOST_DIGITS = len(str(MAX_BODY_BYTES))


class Reply(NamedTuple):
    """One HTTP response."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Gone(Exception):
    """The caller hung up before the body was whole."""


async def read_json(headers: Headers, receive: Receive) -> bytes:
    """Return the whole body of a request.

    Args:
        headers: The request's, with names in lower case.
        receive: Of ASGI; nothing of the body has been received from it.

    Returns:
        At most MAX_BODY_BYTES bytes, not parsed.

    Raises:
        HTTPError: 415 if it is not JSON, 413 if it is too long, 408 if it is late, 503 if too many bodies are
            being received.
        Gone: If the caller hung up.
    """
    content_type = headers.get(b"content-type", b"")
    if content_type not in _READABLE:
        _check_content_type(content_type)
    if b"content-encoding" in headers:
        raise _unsupported("Content-Encoding", headers[b"content-encoding"], "none")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > MAX_BODY_BYTES):
        raise _too_long()
    try:
        body = await within(BODY_SECONDS, _body(receive))
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS} s"
        raise HTTPError(HTTPStatus.REQUEST_TIMEOUT, detail, field="body", limit=BODY_SECONDS) from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_long()
    return body


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        return await _coming.rest(bytearray(body), receive)
    if message["type"] == "http.disconnect":
        raise Gone
    return body


async def send_reply(send: Send, reply: Reply, request_id: str, *, with_body: bool = True) -> None:
    """Send a response.

    Args:
        send: Of ASGI.
        reply: Status, headers and body.
        request_id: The value of X-Request-Id.
        with_body: False for HEAD.
    """
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", request_id.encode()),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body if with_body else b""})


def problem_reply(refusal: HTTPError, request_id: str, methods: Sequence[str] = ()) -> Reply:
    """Return the problem document of a refusal, with the headers that belong to its status.

    Args:
        refusal: The error.
        request_id: Of the request.
        methods: The methods that its path allows, for status 405.
    """
    problem, headers = msgspec.structs.replace(refusal.problem, request_id=request_id), []
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after))
    if methods and problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", ", ".join(methods).encode()))
    if problem.status == HTTPStatus.REQUEST_TIMEOUT:
        headers.append((b"connection", b"close"))  # who knows where the next request would begin
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="tastemaker"'))
    return Reply(problem.status, msgspec.json.encode(problem), PROBLEM, tuple(headers))


@coroutine
def within(seconds: float, awaited: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Await a coroutine like `asyncio.timeout`, but set the timer only if the coroutine has to wait.

    A body has nearly always arrived when it is read, and a timer costs more than the reading.

    Args:
        seconds: The longest wait.
        awaited: The coroutine, which is cancelled after that time.

    Returns:
        What the coroutine returns.

    Raises:
        TimeoutError: The coroutine did not end in time; it was cancelled.
    """
    try:
        waits_for = awaited.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    return (yield from _timed(seconds, _resume(awaited, waits_for)).__await__())


async def _timed(seconds: float, awaited: Awaitable[T]) -> T:
    async with asyncio.timeout(seconds):
        return await awaited


@coroutine
def _resume(started: Coroutine[Any, Any, T], waits_for: object) -> Generator[Any, Any, T]:
    """Await a coroutine that was started elsewhere and waits for something."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as thrown:
                waits_for = started.throw(thrown)
            else:
                waits_for = started.send(sent)
    except StopIteration as end:
        result: T = end.value
        return result


class _Coming:
    """The bodies that one process is receiving."""

    def __init__(self) -> None:
        self._held = 0

    async def rest(self, body: bytearray, receive: Receive) -> bytes:
        """Return the body with what follows: all of it, or as much as shows that it is too long.

        Raises HTTPError (503) if there is no room for it beside the others.
        """
        own, more = 0, True
        try:
            while more and len(body) <= MAX_BODY_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part = message.get("body", b"")
                own += len(part)
                self._held += len(part)
                if self._held > MAX_HELD_BYTES:
                    raise _no_room()
                body += part
                more = message.get("more_body", False)
        finally:
            self._held -= own
        return bytes(body)


_coming = _Coming()


def _check_content_type(value: bytes) -> None:
    """Raise HTTPError (415) unless it is JSON; parameters and capitals are ignored."""
    if value.partition(b";")[0].strip().lower() not in _READABLE:
        raise _unsupported("Content-Type", value, "application/json")


def _too_long() -> HTTPError:
    detail = f"the body has more than {MAX_BODY_BYTES} bytes"
    return HTTPError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, field="body", limit=MAX_BODY_BYTES)


def _no_room() -> HTTPError:
    detail = f"more than {MAX_HELD_BYTES} bytes of bodies are being received"
    return HTTPError(
        HTTPStatus.SERVICE_UNAVAILABLE, detail, field="body", limit=MAX_HELD_BYTES, retry_after=1
    )


def _unsupported(header: str, value: bytes, allowed: str) -> HTTPError:
    given = value.decode("latin-1")[:100]
    detail = f"{header} = {given!r}: only {allowed} is supported"
    return HTTPError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, field=header, value=given)
