"""The dashboard's ASGI application: routes, errors and headers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import anyio
from anyio import to_thread
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from tastemaker.dashboard import formats, stored_reports
from tastemaker.dashboard.access.assembly import Access
from tastemaker.dashboard.charts.renderer import ChartRenderer, specification
from tastemaker.dashboard.charts.theme import THEMES, Theme
from tastemaker.dashboard.content import PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage, PageAction, missing_role
from tastemaker.dashboard.pages import PAGES
from tastemaker.dashboard.reader import (
    AWAY,
    DashboardReader,
    KnownContent,
    LastKnown,
    NothingKnown,
    utc_now,
)
from tastemaker.dashboard.rendering import render
from tastemaker.dashboard.viewer import Role, Viewer
from tastemaker.errors import TastemakerError, UnknownNameError
from tastemaker.html import shell
from tastemaker.report_in import endpoints
from tastemaker.report_in.app import ReportIn
from tastemaker.settings import Settings

PUBLIC = ("/static/", "/healthz", f"{endpoints.PATH}/")
"""Beginnings of the paths that need no user, or check their callers themselves."""
READ_SECONDS = 20.0
"""A page that is not read by then is taken for one whose database hangs."""
_STATIC = Path(__file__).parent / "static"
_OF_A_BLOCK = ("block", "kind")
"""Parts of a block's address, which are not parts of its page's."""
_LOG = logging.getLogger(__name__)


def application(settings: Settings, engine: Engine, clock: Callable[[], datetime] = utc_now) -> ASGIApp:
    """Return the application. Raises TastemakerError if the key that signs cookies can't be used.

    Args:
        settings: All settings.
        engine: The metadata database.
        clock: Returns the present time, UTC.
    """
    site = _Site(DashboardReader(engine, settings, clock))
    access = Access(settings, engine, public=PUBLIC)
    routes: list[BaseRoute] = [
        *access.routes(),
        Route("/", lambda _: RedirectResponse(PAGES[0].path)),
        Route("/healthz", lambda _: JSONResponse({"status": "ok"})),
        Route("/static/vega.js", site.bundle),
        Route("/static/dashboard.css", site.style),
        Mount("/static", StaticFiles(directory=_STATIC)),
        Mount(endpoints.PATH, site.report_in.application),
        Route(f"{stored_reports.PATH}/{{number:int}}/documents/{{name}}", site.document),
    ]
    for page in PAGES:
        routes += [
            Route(f"/blocks{page.path}/{{block}}.{{kind}}", site.block(page), name=f"block {page.path}"),
            Route(page.path, site.shown(page), name=page.path),
            *(
                Route(f"{page.path}/{one.name}", site.acted(page, one), methods=["POST"])
                for one in page.actions
            ),
        ]
    handlers = {404: site.missing, Exception: site.failed}
    return access.guard(Starlette(routes=routes, exception_handlers=handlers, lifespan=site.lifespan))


class _Site:
    def __init__(self, reader: DashboardReader) -> None:
        self._reader = reader
        self._known = LastKnown()
        self._spare_threads = anyio.CapacityLimiter(4)
        self.renderer = ChartRenderer()
        self.report_in = ReportIn(reader.settings, reader.engine)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """End the drawing process and the log of reports with the application."""
        yield
        self.renderer.close()
        self.report_in.close()

    def shown(self, page: DashboardPage) -> Callable[[Request], Any]:
        """Return the endpoint of a page."""

        async def endpoint(request: Request) -> Response:
            return await self._in_time(request, partial(self._answer, request, page, self._page))

        return endpoint

    def block(self, page: DashboardPage) -> Callable[[Request], Any]:
        """Return the endpoint of a page's CSV files and charts."""

        async def endpoint(request: Request) -> Response:
            return await self._in_time(request, partial(self._answer, request, page, self._block))

        return endpoint

    def acted(self, page: DashboardPage, action: PageAction) -> Callable[[Request], Any]:
        """Return the endpoint of a form."""

        async def endpoint(request: Request) -> Response:
            body = await request.body()
            fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))

            def act(request: Request, _: DashboardPage, filters: PageFilters) -> Response:
                return self._act(request, action, filters.path, fields)

            return await self._in_time(request, partial(self._answer, request, page, act))

        return endpoint

    async def _in_time(self, request: Request, answer: Callable[[], Response]) -> Response:
        """Return an answer; while a database hangs, what was read last."""
        try:
            with anyio.fail_after(READ_SECONDS):
                return await to_thread.run_sync(answer, abandon_on_cancel=True)
        except TimeoutError:
            _LOG.warning("%s took more than %g seconds", request.url.path, READ_SECONDS)
        self._known.failed()
        if request.method not in ("GET", "HEAD"):
            why = "The database did not answer in time: look whether the change was made, then repeat it."
            return self._error(request, 503, why)
        # The threads that wait for the database may be all that there are.
        return await to_thread.run_sync(answer, limiter=self._spare_threads)

    async def document(self, request: Request) -> Response:
        """Return a document of a report, for a sandboxed frame."""
        return await run_in_threadpool(self._refused, request, self._document)

    async def style(self, _: Request) -> Response:
        """Return the style of all the platform's pages, and the dashboard's own."""
        own = (_STATIC / "layout.css").read_text("utf-8")
        return Response(f"{shell.style()}\n{own}", media_type="text/css")

    async def bundle(self, _: Request) -> Response:
        """Return the JavaScript that shows charts in the browser."""
        path = await run_in_threadpool(self.renderer.bundle, self._reader.settings.home / "dashboard")
        return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    def missing(self, request: Request, _: Exception) -> Response:
        """Return the page for an address without a page."""
        return self._error(request, 404, f"There is no page {request.url.path[:200]}.")

    def failed(self, request: Request, error: Exception) -> Response:
        """Return the page for a fault of the program; the log has the cause."""
        _LOG.error("the page %s failed", request.url.path, exc_info=error)
        return self._error(request, 500, "This page can't be shown: the dashboard's log says why.")

    def _answer(self, request: Request, page: DashboardPage, make: Callable[..., Response]) -> Response:
        def answer(request: Request) -> Response:
            if (why := page.refuses(viewer_of(request))) is not None:
                return self._error(request, 403, why)
            query = {name: text for name, text in request.query_params.items() if name != "theme"}
            path = {name: text for name, text in path_of(request).items() if name not in _OF_A_BLOCK}
            return make(request, page, PageFilters.parse(query, path))

        return self._refused(request, answer)

    def _refused(self, request: Request, answer: Callable[[Request], Response]) -> Response:
        """Return an answer, or the page that says why there is none."""
        try:
            return answer(request)
        except TastemakerError as error:
            status = 404 if isinstance(error, UnknownNameError) else 400
            return self._error(request, status, f"{error.problem}. {error.fix or ''}")
        except NothingKnown:
            return self._error(
                request, 503, "The database does not answer, and this page was not read before."
            )
        except AWAY:
            return self._error(request, 503, "The database does not answer: nothing was read or changed.")

    def _document(self, request: Request) -> Response:
        parts = path_of(request)
        path = stored_reports.document(self._reader, parts["number"], parts["name"])
        headers = {"Content-Security-Policy": stored_reports.DOCUMENT_POLICY}
        return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)

    def _content(self, request: Request, page: DashboardPage, filters: PageFilters) -> KnownContent:
        viewer = viewer_of(request)
        key = (page.path, filters.key(), viewer.role, viewer.may_see_users)
        if page.keeps:
            return self._known.get(key, lambda: page.load(self._reader, filters, viewer))
        if self._known.is_away():
            raise NothingKnown
        return KnownContent(page.load(self._reader, filters, viewer), datetime.now(UTC).timestamp(), False)

    def _page(self, request: Request, page: DashboardPage, filters: PageFilters) -> Response:
        known = self._content(request, page, filters)
        document = self._render(
            request, "page.html", page=page, content=known.content, filters=filters, themes=THEMES,
            old_since=datetime.fromtimestamp(known.read_at, UTC) if known.is_old else None,
            blocks=f"/blocks{quote(request.url.path)}",
        )  # fmt: skip
        return HTMLResponse(document)

    def _block(self, request: Request, page: DashboardPage, filters: PageFilters) -> Response:
        name, kind = (path_of(request)[part] for part in _OF_A_BLOCK)
        content: PageContent = self._content(request, page, filters).content
        if kind == "csv":
            table = content.table(name)
            headers = {"Content-Disposition": f'attachment; filename="{table.name}.csv"'}
            return Response(formats.as_csv(table), media_type="text/csv; charset=utf-8", headers=headers)
        theme: Theme = "dark" if request.query_params.get("theme") == "dark" else "light"
        if kind == "svg":
            return Response(self.renderer.svg(content.chart(name), theme), media_type="image/svg+xml")
        if kind == "json":
            return JSONResponse(specification(content.chart(name), theme))
        raise TastemakerError(
            f"a block is csv, svg or json, not {kind[:50]!r}", fix="follow the page's links"
        )

    def _act(
        self, request: Request, action: PageAction, path: Mapping[str, str], fields: Mapping[str, str]
    ) -> Response:
        viewer = viewer_of(request)
        if viewer.role < action.role:
            return self._error(request, 403, missing_role(viewer, action.role))
        shown = action.act(self._reader, path, fields, viewer)
        self._known.clear()
        return RedirectResponse(shown, status_code=303)

    def _error(self, request: Request, status: int, why: str) -> Response:
        document = self._render(request, "error.html", title="This did not work", why=why)
        return HTMLResponse(document, status_code=status)

    def _render(self, request: Request, template: str, **values: Any) -> str:
        return render(
            template,
            timezone=self._reader.timezone,
            now=self._reader.now,
            pages=[page for page in PAGES if page.in_navigation],
            path=request.url.path,
            viewer=getattr(request.state, "viewer", None),
            csrf_token=getattr(request.state, "csrf_token", ""),
            has_session=getattr(request.state, "has_session", False),
            Role=Role,
            **values,
        )


def path_of(request: Request) -> dict[str, str]:
    """Return the parts of a request's path as text; Starlette makes an int of what `{number:int}` matches."""
    return {name: str(part) for name, part in request.path_params.items()}


def viewer_of(request: Request) -> Viewer:
    """Return who asks."""
    viewer: Viewer = request.state.viewer
    return viewer
