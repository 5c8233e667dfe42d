"""Connections of a worker: how large a head may be, how long a request may take to come, how many are open.

uvicorn's parser bounds none of it: one header without an end would fill the worker's memory, and joining its
pieces would keep all other callers waiting. `Connection` is uvicorn's own protocol with these bounds:

- The head (request line and headers) is at most MAX_HEAD_BYTES long (431) and comes within HEAD_SECONDS
  (408). A connection that sends nothing in that time is closed.
- The body comes within BODY_SECONDS, whether the answer waits for it or not. What stands between the parts of
  a body (extensions of chunks, trailers) is bounded as the head is.
- A caller reads its answer within WRITE_SECONDS.
- With `most` connections open, one more takes the place of the one that would be closed next among those
  that no answer is being made for; if there is none, it is refused (503).

What a whole request may hold is the gateway's to say, not this module's.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from operator import itemgetter
from typing import Any, Final

import httptools
import msgspec
import uvicorn.config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tastemaker.api.schemas import HTTPError
from tastemaker.serving.http.access_log import RequestLogger
from tastemaker.serving.http.asgi import BODY_SECONDS, PROBLEM
from tastemaker.serving.http.whole_responses import CLOSE, WholeResponse, header_lines
from tastemaker.serving.inference.predictor import new_request_id

MAX_HEAD_BYTES = 32 << 10
HEAD_SECONDS = 10.0
WRITE_SECONDS = 30.0
LINGER_SECONDS = 3.0
"""How long what a refused caller still sends is thrown away: closing upon it would lose the refusal."""
MAX_PIPELINED = 100
"""Requests that one connection may send ahead of their answers."""
OWN_FILES = 200
"""Descriptors that the worker keeps for other uses than connections."""
_PIECE_BYTES = 16 << 10
"""What the parser is fed at once. Sizes are looked at in between."""

_HEAD: Final = 0
"""The next message, or what has come of its head, is waited for."""
_BODY: Final = 1
_WHOLE: Final = 2
_journal = RequestLogger()


def bound(most: int, count: Callable[[int, float], None] = lambda status, seconds: None) -> None:
    """Bound the connections of the uvicorn server that this process becomes.

    Args:
        most: The most connections that may be open at once. It is lowered to what the process's limit of file
            descriptors leaves.
        count: Called with the status of each request that is refused here, before it is read, and the seconds
            since the connection began to wait for it.
    """
    protocols: dict[str, Any] = vars(uvicorn.config)["HTTP_PROTOCOLS"]  # where uvicorn looks it up
    protocols["auto"] = partial(Connection, most=min(most, max(1, _files() - OWN_FILES)), count=count)


def _files() -> int:
    """Return how many descriptors the system lets this process have."""
    try:
        import resource
    except ImportError:  # not a Unix
        return 1 << 20
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


class Connection(HttpToolsProtocol):
    """One HTTP/1 connection.

    One timer at a time looks after it: `_timer` while a message is awaited or incomplete, none while its
    answer is being made, uvicorn's keep-alive timer from the answer to the next message's first byte.
    """

    def __init__(self, *given: Any, most: int, count: Callable[[int, float], None], **more: Any) -> None:
        """Take over a connection from uvicorn.

        Args:
            given: Arguments of uvicorn's protocol.
            most: The most connections of this server that may be open at once.
            count: Called with the status and the seconds of what is refused here, as in `bound`.
            more: Named arguments of uvicorn's protocol.
        """
        super().__init__(*given, **more)
        self.ws_protocol_class = None  # nothing here speaks WebSocket, and its handshake would be unbounded
        if isinstance(self.app, ProxyHeadersMiddleware):  # who calls through a proxy is known by a key
            self.app = self.app.app
        self._most, self._count = most, count
        self._expected = _HEAD
        self._unseen = 0
        """Bytes since the head began, or since the last part of the body."""
        self._timer: asyncio.TimerHandle | None = None
        self._timed = _HEAD
        """What the timer waits for."""
        self._writing: asyncio.TimerHandle | None = None
        self._deaf = False
        """Whether what comes is thrown away: the connection is about to be closed."""
        self._since = 0.0

    # Of the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(_HEAD, HEAD_SECONDS)
        if len(self.connections) > self._most and not self._make_room():
            detail = f"the service has {self._most} connections, and answers on all of them"
            self._refuse(HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, detail, limit=self._most, retry_after=1))

    def data_received(self, data: bytes) -> None:
        if len(data) <= _PIECE_BYTES:
            self._take(data)
            return
        whole = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            self._take(whole[start : start + _PIECE_BYTES])

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        for timer in (self._timer, self._writing):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    # Of the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unset_keepalive_if_required()  # not earlier: a blank line does not begin a request
        self._expected, self._unseen = _HEAD, 0

    def on_headers_complete(self) -> None:
        if self._unseen > MAX_HEAD_BYTES - _PIECE_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            raise _head_too_long()
        if len(self.pipeline) >= MAX_PIPELINED:
            detail = f"more than {MAX_PIPELINED} requests were sent ahead of their answers"
            raise HTTPError(HTTPStatus.TOO_MANY_REQUESTS, detail, limit=MAX_PIPELINED)
        if not self.url.startswith(b"/"):
            self._take_authority()
        super().on_headers_complete()
        self.headers = []  # the request has its own by now; trailers are not among them
        self._expected, self._unseen = _BODY, 0

    def on_body(self, body: bytes) -> None:
        self._unseen = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._expected = _WHOLE
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Of uvicorn

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_after(WRITE_SECONDS)
        elif self._expected != _WHOLE:
            self._unset_keepalive_if_required()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        response = WholeResponse(cycle)
        super()._start_asgi_task(cycle, lambda scope, receive, send: app(scope, receive, response.send))

    def _take(self, data: bytes | memoryview) -> None:
        """Parse a piece, and see what has become of the message."""
        if self._deaf:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the request is answered; what follows is not HTTP
            self._end_after_answers()
        except httptools.HttpParserError as error:
            self._refuse(_refusal(error))
        else:
            if self._expected != _WHOLE:
                self._look(len(data))

    def _look(self, received: int) -> None:
        """Start waiting for the rest of a message, and bound the bytes that no parser has accepted."""
        if self._timer is None or self._timed != self._expected:
            self._wait(self._expected, HEAD_SECONDS if self._expected == _HEAD else BODY_SECONDS + 1)
        self._unseen += received
        if self._unseen > MAX_HEAD_BYTES + _PIECE_BYTES:
            self._refuse(_head_too_long())

    def _head_bytes(self) -> int:
        line = len(self.parser.get_method()) + len(self.url) + len(b"  HTTP/1.1\r\n\r\n")
        return line + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)

    def _take_authority(self) -> None:
        """Replace the header Host by the host of an absolute URL, as RFC 9112, section 3.2.2, requires."""
        parsed = httptools.parse_url(self.url)
        if parsed.host:
            host = b"[%b]" % parsed.host if b":" in parsed.host else parsed.host
            port = b"" if parsed.port is None else b":%d" % parsed.port
            self.headers[:] = [*(one for one in self.headers if one[0] != b"host"), (b"host", host + port)]

    def _wait(self, expected: int, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timed, self._since = expected, time.monotonic()
        self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        """Refuse the request or close the connection, as what it waited for did not come in time."""
        self._timer = None
        if self._expected == _HEAD:
            if not self._unseen:  # not a byte: the caller waits for no answer
                self._close()
                return
            detail = f"the request line and headers did not come within {HEAD_SECONDS:g} s"
            limit = int(HEAD_SECONDS)
            self._refuse(HTTPError(HTTPStatus.REQUEST_TIMEOUT, detail, field="headers", limit=limit))
        elif self.cycle.response_complete:
            self._close()
        else:
            self._end_after_answers()

    def _refuse(self, refusal: HTTPError) -> None:
        """Answer with a problem document, unless other answers are due here first, and hear no more."""
        if self._deaf or self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if self._expected != _BODY or self.pipeline or self.cycle.response_started:
                self._end_after_answers()
                return
            self.cycle.disconnected = True  # for whoever waits for the rest of the body
            self.cycle.message_event.set()
        seconds = time.monotonic() - self._since
        self._count(refusal.problem.status, seconds)
        _journal.log(refusal.problem.status, seconds, path=None)
        self._deaf = True
        self._unset_keepalive_if_required()
        self.transport.write(self._response(refusal))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
        else:  # TLS
            self.transport.close()
        self._abort_after(LINGER_SECONDS)

    def _response(self, refusal: HTTPError) -> bytes:
        request_id = new_request_id()
        body = msgspec.json.encode(msgspec.structs.replace(refusal.problem, request_id=request_id))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            CLOSE,
        ]
        if refusal.retry_after is not None:
            headers.append((b"retry-after", b"%d" % refusal.retry_after))
        return STATUS_LINE[refusal.problem.status] + header_lines(headers) + b"\r\n" + body

    def _end_after_answers(self) -> None:
        """Hear no more, and close the connection once what came whole is answered."""
        self._deaf = True
        self.cycle.keep_alive = False

    def _close(self) -> None:
        """Close it once its caller has read what was written."""
        self._deaf = True
        if not self.transport.is_closing():
            self.transport.close()
            self._abort_after(WRITE_SECONDS)

    def _abort_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    # Of the server

    @property
    def _due(self) -> float:
        """When it will be closed if nothing comes; never, while an answer is being made."""
        timer = self._timer or self.timeout_keep_alive_task
        return math.inf if timer is None else timer.when()

    def _make_room(self) -> bool:
        """Close the connection that would be closed next; whether there was one."""
        others = (one for one in self.connections if isinstance(one, Connection) and one is not self)
        due, one = min(((one._due, one) for one in others), key=itemgetter(0), default=(math.inf, self))
        if due == math.inf:
            return False
        self.connections.discard(one)
        one._deaf = True
        one.transport.abort()
        return True


def _refusal(error: httptools.HttpParserError) -> HTTPError:
    """Return the refusal of a message: what a callback of ours raised in the parser, else 400."""
    if isinstance(error.__context__, HTTPError):
        return error.__context__
    return HTTPError(HTTPStatus.BAD_REQUEST, "this is not an HTTP/1.1 request")


def _head_too_long() -> HTTPError:
    what = "the request line and headers, or what stands between the parts of a body,"
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return HTTPError(status, f"{what} exceed {MAX_HEAD_BYTES} bytes", field="headers", limit=MAX_HEAD_BYTES)
