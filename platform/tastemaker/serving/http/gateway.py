"""The serving process as an ASGI application: finds the route, authenticates, answers or refuses.

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
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from tastemaker.api.schemas import HTTPError
from tastemaker.serving.http.access_log import SLOW_SECONDS, RequestLogger
from tastemaker.serving.http.asgi import (
    Application,
    Gone,
    Headers,
    Receive,
    Reply,
    Scope,
    Send,
    problem_reply,
    read_json,
    send_reply,
)
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.http.call import Call
from tastemaker.serving.http.control import is_copy
from tastemaker.serving.http.routing import AnyRoute, Route, RouteTable
from tastemaker.serving.inference.predictor import new_request_id
from tastemaker.serving.runtime.metrics import SHADOW, UNKNOWN
from tastemaker.serving.runtime.serving_process import Loaded, ServingProcess

DEFECT = "Internal error. See the server log for this request id."

_is_id = re.compile(rb"[0-9a-f]{32}").fullmatch
_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


class _Asked(NamedTuple):
    """What is logged of a request that was refused, failed or slow. Made only then."""

    scope: Scope
    route: AnyRoute | None
    request_id: str
    start: float
    """`time.perf_counter()` when it arrived."""


class Gateway(Generic[Loaded]):
    """ASGI middleware that answers the platform's own paths and refuses all others."""

    def __init__(
        self,
        app: Application,
        routes: RouteTable[Call[Loaded]],
        process: ServingProcess[Loaded],
        auth: Authenticator | None = None,
    ) -> None:
        """Stand before an application.

        Args:
            app: What gets the start and the end of the process.
            routes: The paths that are answered.
            process: What answers them.
            auth: Checks API keys; without it, only this machine is answered.
        """
        self.app, self.process, self.auth = app, process, auth or Authenticator()
        self._routes = routes
        self._log = RequestLogger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        route, argument = self._routes.find(scope)
        headers: Headers = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        request_id = given.decode() if given is not None and _is_id(given) else new_request_id()
        try:
            reply = await self._reply(scope, headers, receive, route, argument, request_id)
        except Gone:
            return
        except HTTPError as refusal:
            reply = self._refused(refusal, _Asked(scope, route, request_id, start))
        except Exception:  # a defect of ours: the log has its place
            defect = HTTPError(HTTPStatus.INTERNAL_SERVER_ERROR, DEFECT)
            reply = self._refused(defect, _Asked(scope, route, request_id, start))
        else:
            if time.perf_counter() - start > SLOW_SECONDS:
                self._log_request(reply.status, _Asked(scope, route, request_id, start))
        endpoint = UNKNOWN if route is None else SHADOW if is_copy(headers) else route.path
        self.process.count(endpoint, reply.status, time.perf_counter() - start)
        await send_reply(send, reply, request_id, with_body=scope["method"] != "HEAD")

    async def _reply(
        self,
        scope: Scope,
        headers: Headers,
        receive: Receive,
        route: Route[Call[Loaded]] | None,
        argument: str,
        request_id: str,
    ) -> Reply:
        self.auth.check_host(headers, scope)
        if route is None:
            raise _nothing_here(self._routes)
        if scope["method"] != route.method:
            _check_method(route, scope["method"])
        if route.scope is not None:
            self.auth.authenticate(route.scope, headers, scope.get("client"))
        body = b"" if route.body is None else await read_json(headers, receive)
        call = Call(self.process, body, argument, scope["query_string"], request_id, headers)
        response, seconds = route.endpoint(call), route.timeout_seconds
        answer = await (response if seconds is None else _in_time(response, seconds))
        return answer if isinstance(answer, Reply) else Reply(route.status, _encode(answer))

    def _refused(self, refusal: HTTPError, asked: _Asked) -> Reply:
        """Log the refusal, and return its problem document."""
        self._log_request(refusal.problem.status, asked, refusal.problem.field)
        methods = () if asked.route is None else asked.route.methods
        return problem_reply(refusal, asked.request_id, methods)

    def _log_request(self, status: int, asked: _Asked, field: str | None = None) -> None:
        self._log.log(
            status,
            time.perf_counter() - asked.start,
            path=None if asked.route is None else asked.route.path,
            method=asked.scope["method"],
            request_id=asked.request_id,
            field=field,
        )


async def _in_time(act: Awaitable[_T], seconds: int) -> _T:
    """Return its outcome. Raises HTTPError (503) after `seconds`; what it stores may still be stored then."""
    try:
        async with asyncio.timeout(seconds):
            return await act
    except TimeoutError:
        detail = f"not done within {seconds} s; sending it again does no harm"
        raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, detail, limit=seconds, retry_after=1) from None


def _nothing_here(routes: RouteTable[Any]) -> HTTPError:
    known = ", ".join(route.path for route in routes.all)
    return HTTPError(HTTPStatus.NOT_FOUND, f"there is nothing at this path; try {known}")


def _check_method(route: AnyRoute, method: str) -> None:
    if method not in route.methods:
        allowed = " and ".join(route.methods)
        raise HTTPError(HTTPStatus.METHOD_NOT_ALLOWED, f"only {allowed} is allowed here", field="method")
