"""What an endpoint is: its path, its messages, who may call it, and what may go wrong.

A path is either whole (`/recommend`) or a word and one argument (`/similar/{item_id}`), so that finding a
route is one look-up, or two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from tastemaker.serving.http.api_keys import KeyScope
from tastemaker.serving.http.asgi import Reply, Scope
from tastemaker.serving.runtime.metrics import UNKNOWN

Received = TypeVar("Received")
"""A request as the endpoints of an application get it."""

OF_ANY = (HTTPStatus.BAD_REQUEST, HTTPStatus.MISDIRECTED_REQUEST)
"""Statuses that any request may be refused with, for its header Host."""
UNREAD = (
    HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, HTTPStatus.SERVICE_UNAVAILABLE
)  # fmt: skip
"""Statuses that `connections` refuses a request with before it is read."""


class Route(NamedTuple, Generic[Received]):
    """One endpoint. The docstring of `endpoint` is its summary in the OpenAPI document."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    scope: KeyScope | None
    """The scope that an API key needs; None if the endpoint is open to every caller."""
    endpoint: Callable[[Received], Awaitable[msgspec.Struct | Reply]]
    response: type[msgspec.Struct] | None = None
    """The type of the answer; None if it is not a struct."""
    body: type[msgspec.Struct] | None = None
    """The type of the request's body."""
    query: type[msgspec.Struct] | None = None
    """The type of the query string."""
    needs_model: bool = True
    """Whether it is refused (503) before a model is loaded."""
    media: str = "application/json"
    """The Content-Type of its answer, without parameters."""
    timeout_seconds: int | None = None
    """When it is refused (503); None where the engine keeps the time, or nothing is waited for."""
    status: HTTPStatus = HTTPStatus.OK
    """The status of its answer."""
    is_batch: bool = False
    """Whether the request has many bodies of that type: a JSON array, or one per line."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the path: HEAD too, where GET is one."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def failures(self) -> Iterator[HTTPStatus]:
        """The statuses of its problem documents, where the method is right."""
        if self.body is not None or self.query is not None or "{" in self.path:
            yield HTTPStatus.BAD_REQUEST
        if self.scope is not None:
            yield from (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
        if "{" in self.path:
            yield HTTPStatus.NOT_FOUND
        if self.body is not None:
            yield HTTPStatus.REQUEST_TIMEOUT
            yield from (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        yield HTTPStatus.INTERNAL_SERVER_ERROR
        if self.needs_model:
            yield HTTPStatus.SERVICE_UNAVAILABLE


AnyRoute = Route[Any]
"""A route of any application."""


class RouteTable(Generic[Received]):
    """The endpoints of an application, found by the paths of requests."""

    def __init__(self, routes: tuple[Route[Received], ...]) -> None:
        self.all = routes
        self._whole = {route.path: route for route in routes if "{" not in route.path}
        self._words = {route.path.partition("{")[0]: route for route in routes if "{" in route.path}

    def find(self, scope: Scope) -> tuple[Route[Received] | None, str]:
        """Return the route of a request, and the argument in its path.

        An id may hold anything, a slash too, in any encoding; bytes that are not UTF-8 become U+FFFD.
        """
        path: str = scope["path"]
        route = self._whole.get(path)
        if route is not None:
            return route, ""
        word = path[: path.find("/", 1) + 1]
        route = self._words.get(word)
        if route is None or len(path) == len(word):
            return None, ""
        raw: bytes = scope.get("raw_path", b"").partition(b"?")[0]
        if raw.startswith(word.encode()):
            return route, unquote_to_bytes(raw[len(word) :]).decode(errors="replace")
        return route, path[len(word) :]

    def statuses(self) -> dict[str, list[int]]:
        """Return the statuses of each endpoint, by its path's template."""
        of_any = (*OF_ANY, HTTPStatus.METHOD_NOT_ALLOWED)
        known = {route.path: {HTTPStatus.OK, *route.failures, *of_any} for route in self.all}
        known |= {UNKNOWN: {HTTPStatus.NOT_FOUND, *of_any, *UNREAD}}
        return {path: sorted(map(int, may_be)) for path, may_be in known.items()}
