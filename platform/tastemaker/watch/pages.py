"""The alerts' pages over HTTP: what is open, what happened, acknowledging and silencing.

A request from this machine may do everything. From elsewhere, a signed link lets its reader act on one
incident, and Alertmanager sends its alerts with the key. A proxy's requests count as from elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tastemaker.errors import TastemakerError
from tastemaker.util.listening import listen
from tastemaker.util.request_origin import LOOPBACK, host_name, is_for, is_from_own_page, is_local
from tastemaker.watch import page_bodies, records
from tastemaker.watch.alertmanager import apply_webhook
from tastemaker.watch.interventions import acknowledge, matchers_of, silence
from tastemaker.watch.routing import Routing
from tastemaker.watch.signed_links import ACTIONS

if TYPE_CHECKING:
    from tastemaker.watch.watcher import Watcher

MOST_BODY_BYTES = 1 << 20


class PageServer:
    """The HTTP server of a watcher, in a thread of its own."""

    def __init__(self, watcher: Watcher) -> None:
        """Take the port. Raises TastemakerError if it is taken, or the address is not this machine's."""
        host, port = watcher.settings.watch.host, watcher.settings.watch.port
        taken = "is another watch running here? Set watch.port or watch.host"
        self._socket = listen(host, port, fix=taken)
        config = uvicorn.Config(
            application(watcher), log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=5,
            limit_concurrency=100, proxy_headers=False, server_header=False, ws="none", loop="asyncio",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="pages", daemon=True
        )

    def start(self) -> None:
        """Start the server."""
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(5)
        self._socket.close()


def application(watcher: Watcher) -> Starlette:
    """Return the ASGI application of a watcher's pages."""
    pages = _Pages(watcher)
    return Starlette(
        routes=[
            Route("/", lambda _: RedirectResponse("/alerts"), methods=["GET"]),
            Route("/alerts", pages.listed, methods=["GET"]),
            Route("/alerts/{number:int}", pages.shown, methods=["GET"]),
            Route("/alerts/{number:int}/{action}", pages.asked, methods=["GET"]),
            Route("/alerts/{number:int}/{action}", pages.acted, methods=["POST"]),
            Route("/metrics", pages.metrics, methods=["GET"]),
            Route("/healthz", pages.health, methods=["GET"]),
            Route("/api/alerts", pages.alertmanager, methods=["POST"]),
        ]
    )


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Pages:
    def __init__(self, watcher: Watcher) -> None:
        self._watcher, self._engine, self._links = watcher, watcher.engine, watcher.links
        watch = watcher.settings.watch
        names = {*LOOPBACK, watch.host, urlsplit(watch.base_url).hostname or ""}
        self._names = {name.lower() for name in names}
        self._routing = Routing.of(watch)

    async def listed(self, request: Request) -> Response:
        return await self._answer(request, self._list)

    async def shown(self, request: Request) -> Response:
        return await self._answer(request, self._show)

    async def asked(self, request: Request) -> Response:
        return await self._answer(request, self._ask)

    async def acted(self, request: Request) -> Response:
        return await self._answer(request, self._act, writes=True)

    async def metrics(self, request: Request) -> Response:
        return await self._answer(request, self._metrics)

    async def health(self, request: Request) -> Response:
        return await self._answer(request, self._health)

    async def alertmanager(self, request: Request) -> Response:
        return await self._answer(request, self._alertmanager, writes=True)

    async def _answer(self, request: Request, handle: Any, *, writes: bool = False) -> Response:
        try:
            self._check_host(request)
            if writes:
                self._check_origin(request)
            body = await _body(request) if writes else b""
            answer: Response = await run_in_threadpool(handle, request, body)
        except _Refused as refused:
            return _problem(refused.status, str(refused))
        except TastemakerError as error:
            return _problem(400 if writes else 404, error.problem)
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "same-origin"
        return answer

    def _list(self, request: Request, _: bytes) -> Response:
        engine = self._engine
        return _page(
            page_bodies.overview(
                records.incidents(engine),
                [one for one in records.incidents(engine, only_open=False) if one.closed_at is not None],
                records.silences(engine),
                records.beats(engine),
                self._watcher.trouble(),
            )
        )

    def _show(self, request: Request, _: bytes) -> Response:
        record = records.incident(self._engine, request.path_params["number"])
        lines = records.history(self._engine, record)
        return _page(page_bodies.details(record, lines, can_act=is_local(request)))

    def _ask(self, request: Request, _: bytes) -> Response:
        number, action = self._checked(request)
        record = records.incident(self._engine, number)
        query = str(request.url.query)
        return _page(page_bodies.form(record, action, query))

    def _act(self, request: Request, body: bytes) -> Response:
        number, action = self._checked(request)
        record = records.incident(self._engine, number)
        given = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        by = (given.get("by") or "").strip() or "someone with the link"
        if action == "acknowledge":
            is_new = acknowledge(self._engine, number, by)
            done = f"Acknowledged by {by}." if is_new else "It was acknowledged before."
        else:
            made = silence(
                self._engine,
                matchers_of(record, self._watcher.settings.watch),
                seconds=3_600 * _hours(given),
                by=by,
                reason=given.get("reason") or "",
            )
            done = f"Silenced until {datetime.fromtimestamp(made.ends_at, UTC):%Y-%m-%d %H:%M} UTC."
        return _page(page_bodies.done(record, done))

    def _metrics(self, request: Request, _: bytes) -> Response:
        return PlainTextResponse(self._watcher.page(), media_type="text/plain; version=0.0.4")

    def _health(self, request: Request, _: bytes) -> Response:
        trouble = self._watcher.trouble()
        found = {
            "status": "ok" if trouble is None else trouble,
            "evaluates": self._watcher.database.is_leader,
        }
        return JSONResponse(found, status_code=200 if trouble is None else 503)

    def _alertmanager(self, request: Request, body: bytes) -> Response:
        if not is_local(request) and not self._has_key(request):
            raise _Refused(403, "from another machine, Alertmanager sends the key: authorization.credentials")
        count = apply_webhook(self._engine, body, self._watcher.rules, self._routing, now=time.time())
        if count:
            self._watcher.deliveries.wake()
        return JSONResponse({"changed": count})

    def _has_key(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        return self._links.is_key(given)

    def _checked(self, request: Request) -> tuple[int, str]:
        """Return the number and the action, if the request may do that."""
        number, action = request.path_params["number"], request.path_params["action"]
        if action not in ACTIONS:
            raise _Refused(404, f"there is no page {request.url.path}")
        expires, signature = (request.query_params.get(name, "") for name in ("expires", "signature"))
        if not is_local(request) and not self._links.is_valid(number, action, expires, signature):
            raise _Refused(403, "the link is not valid, or has expired: take that of a newer message")
        return number, action

    def _check_origin(self, request: Request) -> None:
        """Refuse what a page of another site sends."""
        if not is_from_own_page(request, self._names):
            raise _Refused(403, "the form was not on a page of this server")

    def _check_host(self, request: Request) -> None:
        """Refuse a request for another name: a page of another site may lead to this machine."""
        if not is_for(request, self._names):
            name = host_name(request)
            raise _Refused(421, f"Host {name[:100]!r} is not this server's name: set watch.public_url")


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MOST_BODY_BYTES:
            raise _Refused(413, f"the body has more than {MOST_BODY_BYTES:,} bytes")
    return bytes(found)


def _hours(given: Mapping[str, str]) -> float:
    try:
        hours = float(given.get("hours", ""))
    except ValueError:
        raise TastemakerError("hours must be a number", fix="enter for how many hours") from None
    return hours


def _page(document: str) -> Response:
    return HTMLResponse(document)


def _problem(status: int, detail: str) -> Response:
    return JSONResponse(
        {"status": status, "detail": detail}, status_code=status, media_type="application/problem+json"
    )
