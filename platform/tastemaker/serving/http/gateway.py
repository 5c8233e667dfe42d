"""The serving process as an ASGI application: finds the route, asks the doors, answers or refuses.

It stands in front of all of BentoML's own application. BentoML's routing, tracing, timeouts and access log
cost five times what the answer does, and its page for people loads scripts from other hosts, so every request
is answered before they see it; only the start and the end of the process are left to it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable
from http import HTTPStatus
from typing import NamedTuple, TypeVar

import msgspec

from tastemaker.api.schemas import Refusal
from tastemaker.serving.http.access_log import SLOW_SECONDS, RequestLogger
from tastemaker.serving.http.asgi import (
    PROBLEM,
    Application,
    Gone,
    Headers,
    Receive,
    Reply,
    Scope,
    Send,
    read_json,
    send_reply,
)
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.http.routes import ROUTES, Call, Route, find
from tastemaker.serving.inference.predictor import new_request_id
from tastemaker.serving.runtime.metrics import UNKNOWN
from tastemaker.serving.runtime.worker import Worker

_is_id = re.compile(rb"[0-9a-f]{32}").fullmatch
_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


class _Asked(NamedTuple):
    """What is told of a request that did not go well. Made only then."""

    scope: Scope
    route: Route | None
    request_id: str
    start: float
    """`time.perf_counter()` when it arrived."""


class Gateway:
    """ASGI middleware: answers the platform's own paths, and refuses what nobody answers."""

    def __init__(self, app: Application, worker: Worker, doors: Authenticator | None = None) -> None:
        self.app, self.worker, self.doors, self._journal = (
            app,
            worker,
            doors or Authenticator(),
            RequestLogger(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        route, argument = find(scope)
        headers: Headers = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        request_id = given.decode() if given is not None and _is_id(given) else new_request_id()
        try:
            reply = await self._reply(scope, headers, receive, route, argument, request_id)
        except Gone:
            return
        except Refusal as refusal:
            reply = self._refused(refusal, _Asked(scope, route, request_id, start))
        except Exception:  # a defect of ours: the caller is told so, the journal gets the place
            defect = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "a defect; the server's journal says more")
            reply = self._refused(defect, _Asked(scope, route, request_id, start))
        else:
            if time.perf_counter() - start > SLOW_SECONDS:
                self._tell(reply.status, _Asked(scope, route, request_id, start))
        endpoint = UNKNOWN if route is None else route.path
        self.worker.count(endpoint, reply.status, time.perf_counter() - start)
        await send_reply(send, reply, request_id, with_body=scope["method"] != "HEAD")

    async def _reply(
        self,
        scope: Scope,
        headers: Headers,
        receive: Receive,
        route: Route | None,
        argument: str,
        request_id: str,
    ) -> Reply:
        self.doors.check_host(headers, scope)
        if route is None:
            raise _nothing_here()
        if scope["method"] != route.method:
            _check_method(route, scope["method"])
        if route.scope is not None:
            self.doors.admit(route.scope, headers, scope.get("client"))
        body = b"" if route.takes is None else await read_json(headers, receive)
        call = Call(self.worker, body, argument, scope["query_string"], request_id)
        said = await (route.act(call) if route.seconds is None else _in_time(route.act(call), route.seconds))
        return said if isinstance(said, Reply) else Reply(200, _encode(said))

    def _refused(self, refusal: Refusal, asked: _Asked) -> Reply:
        """The problem document; told to the journal."""
        route, status = asked.route, refusal.problem.status
        self._tell(status, asked, refusal.problem.field)
        problem = msgspec.structs.replace(refusal.problem, request_id=asked.request_id)
        headers = []
        if refusal.retry_after is not None:
            headers.append((b"retry-after", b"%d" % refusal.retry_after))
        if route is not None and status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append((b"allow", ", ".join(route.methods).encode()))
        if status == HTTPStatus.REQUEST_TIMEOUT:
            headers.append((b"connection", b"close"))  # who knows where the next request would begin
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append((b"www-authenticate", b'Bearer realm="tastemaker"'))
        return Reply(status, _encode(problem), PROBLEM, tuple(headers))

    def _tell(self, status: int, asked: _Asked, field: str | None = None) -> None:
        self._journal.tell(
            status,
            time.perf_counter() - asked.start,
            path=None if asked.route is None else asked.route.path,
            method=asked.scope["method"],
            request_id=asked.request_id,
            field=field,
        )


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind a gateway that has nothing behind it."""
    if scope["type"] == "http":
        problem = Refusal(HTTPStatus.NOT_FOUND, "there are no pages here").problem
        await send_reply(send, Reply(problem.status, _encode(problem), PROBLEM), new_request_id())


async def _in_time(act: Awaitable[_T], seconds: int) -> _T:
    """Its outcome. Raises Refusal (503) if there is none in time; what it was to keep may be kept yet."""
    try:
        async with asyncio.timeout(seconds):
            return await act
    except TimeoutError:
        detail = f"not done within {seconds} s; trying again does no harm"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, limit=seconds, retry_after=1) from None


def _nothing_here() -> Refusal:
    known = ", ".join(route.path for route in ROUTES)
    return Refusal(HTTPStatus.NOT_FOUND, f"there is nothing at this path; try {known}")


def _check_method(route: Route, method: str) -> None:
    if method not in route.methods:
        allowed = " and ".join(route.methods)
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"only {allowed} is allowed here", field="method")
