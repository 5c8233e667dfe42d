"""Report-in over HTTP, as an ASGI application that the dashboard mounts at /api/v1."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from uuid import uuid4

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from tastemaker.api.schemas import HTTPError
from tastemaker.errors import TastemakerError
from tastemaker.event_log.spool import Spool
from tastemaker.report_in.body import read_body
from tastemaker.report_in.endpoints import ROUTES, ReportCall
from tastemaker.report_in.intake import Intake
from tastemaker.report_in.ownership import LOCAL_SOURCE, fault_of
from tastemaker.report_in.training_orders import TrainingDesk
from tastemaker.serving.http.api_keys import SLOTS
from tastemaker.serving.http.asgi import Reply, problem_reply
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.http.routing import Route
from tastemaker.settings import Settings
from tastemaker.util.rate_limit import RateLimiter

AT_ONCE = 8
"""Reports that are read and checked at a time: each takes up to some 100 MB."""
MOST_WAITING = 64
"""Reports beyond that which wait; the others are refused."""
RETRY_SECONDS = 10
_LOG = logging.getLogger("tastemaker.report_in")


class ReportIn:
    """Report-in of a home folder: `application` answers until `close`."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        """Read the API keys; the log is opened by the first report.

        Args:
            settings: Of the home folder.
            engine: The metadata database.

        Raises:
            TastemakerError: The API keys can't be read.
        """
        self._settings, self._engine = settings, engine
        self._spool: Spool | None = None
        self._intake: Intake | None = None
        self._trainings = TrainingDesk(settings, engine)
        self._opening = asyncio.Lock()
        self._turns, self._waiting = asyncio.Semaphore(AT_ONCE), 0
        self._auth = Authenticator()
        self._auth.open(
            settings.keys, RateLimiter(settings.home / "meters", SLOTS), settings.serving.allowed_hosts
        )
        self.application = Starlette(
            routes=[
                StarletteRoute(
                    route.path.replace("}", ":path}"),
                    partial(self._answered, route),
                    methods=[route.method],
                )
                for route in ROUTES
            ],
            exception_handlers={HTTPException: _elsewhere},
        )

    def close(self) -> None:
        """Return when every record is on disk."""
        if self._spool is not None:
            self._spool.close()

    async def _answered(self, route: Route[ReportCall], request: Request) -> Response:
        request_id = uuid4().hex
        try:
            reply = await self._reply(route, request)
        except HTTPError as refusal:
            reply = problem_reply(refusal, request_id)
        except SQLAlchemyError as error:
            _LOG.warning("the database can't be used: %s", error)
            reply = problem_reply(_unavailable("the database can't be used now"), request_id)
        except Exception:
            _LOG.exception("%s %s failed, request id %s", route.method, route.path, request_id)
            detail = "Internal error. See the dashboard's log for this request id."
            reply = problem_reply(HTTPError(HTTPStatus.INTERNAL_SERVER_ERROR, detail), request_id)
        return _response(reply, request_id)

    async def _reply(self, route: Route[ReportCall], request: Request) -> Reply:
        call = ReportCall(
            self._source(route, request),
            b"",
            request.headers.get("content-type", ""),
            next(iter(request.path_params.values()), ""),
            request.scope["query_string"],
            idempotency_key=request.headers.get("idempotency-key", ""),
            trainings=self._trainings,
        )
        if route.body is None:
            answer = await route.endpoint(call)
        else:
            async with self._turn():
                body = await read_body(request)
                intake = await self._opened() if route.scope == "report" else None
                answer = await route.endpoint(call._replace(body=body, intake=intake))
        return answer if isinstance(answer, Reply) else Reply(route.status, msgspec.json.encode(answer))

    def _source(self, route: Route[ReportCall], request: Request) -> str:
        """Return who reports: the name of its API key. Raises HTTPError."""
        headers = dict(request.scope["headers"])
        self._auth.check_host(headers, request.scope)
        if route.scope is None:
            return ""
        key = self._auth.authenticate(route.scope, headers, request.scope.get("client"))
        source = LOCAL_SOURCE if key is None else key.name
        if route.scope == "report" and (fault := fault_of(source)) is not None:
            raise HTTPError(HTTPStatus.FORBIDDEN, fault)
        return source

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a turn. Raises HTTPError (429) if too many wait already."""
        if self._waiting >= MOST_WAITING:
            detail = f"{MOST_WAITING} reports wait already"
            raise HTTPError(HTTPStatus.TOO_MANY_REQUESTS, detail, limit=MOST_WAITING, retry_after=1)
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    async def _opened(self) -> Intake:
        """Return the intake, and open it first if it is not open. Raises HTTPError (503)."""
        async with self._opening:
            if self._intake is None:
                try:
                    self._intake = await run_in_threadpool(self._open)
                except TastemakerError as error:
                    _LOG.warning("reports can't be taken: %s", error)
                    raise _unavailable("reports can't be taken now; the dashboard's log says why") from None
        return self._intake

    def _open(self) -> Intake:
        log = self._settings.log
        if self._spool is None:
            self._spool = Spool(self._settings.spool, capacity=log.spool_records, max_bytes=log.spool_bytes)
        return Intake(self._settings, self._engine, self._spool)


def _elsewhere(_: Request, error: Exception) -> Response:
    """Return the problem document of a path or method that report-in does not have."""
    assert isinstance(error, HTTPException)
    known = ", ".join(f"{route.method} {route.path}" for route in ROUTES)
    refusal = HTTPError(HTTPStatus(error.status_code), f"there is {known}")
    request_id = uuid4().hex
    allowed = (error.headers or {}).get("Allow", "")
    return _response(problem_reply(refusal, request_id, allowed.split(", ") if allowed else ()), request_id)


def _response(reply: Reply, request_id: str) -> Response:
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    headers |= {"content-type": reply.content_type.decode(), "x-request-id": request_id}
    return Response(reply.body, reply.status, headers)


def _unavailable(detail: str) -> HTTPError:
    return HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after=RETRY_SECONDS)
