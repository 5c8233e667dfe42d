"""What an endpoint is: its path, its messages, who may call it, and what may go wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from tastemaker.serving.http.api_keys import KeyScope
from tastemaker.serving.http.asgi import Reply

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
