"""The OpenAPI 3.1 document, made from the routes, the structs and their docstrings."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from types import ModuleType
from typing import Any

import msgspec

from tastemaker._version import __version__
from tastemaker.api import schemas as messages
from tastemaker.api.schemas import (
    Alive,
    Answer,
    BatchAnswer,
    BatchRequest,
    Explained,
    Explanation,
    ExposureReport,
    ExposureReports,
    FeedbackEvent,
    FeedbackEvents,
    Id,
    ItemUpsert,
    ItemUpserts,
    Problem,
    RankRequest,
    Ready,
    Receipt,
    Request,
    SessionRequest,
    SimilarAnswer,
    SimilarItem,
    UserUpsert,
    UserUpserts,
    WantedVersion,
)
from tastemaker.event_log.records import Item
from tastemaker.serving.http.routing import OF_ANY, UNREAD, AnyRoute

_REF = "#/components/schemas/{name}"
_EXAMPLE_ID = "b5a5892ca489463bb3a800e59d500c44"
_ITEMS = [Item("i0000360", 2.01, 1.0), Item("i0000017", 1.87, 1.0)]
_ANSWER = Answer(_EXAMPLE_ID, "ranker", "20261123-060420-247687-40fe08d840cb", _ITEMS, None)
Examples = Mapping[type[msgspec.Struct], msgspec.Struct]
EXAMPLES: Examples = {
    Request: Request("u0000000", k=2, exclude=["i0000001"]),
    BatchRequest: BatchRequest([Request("u0000000"), Request("u0000001", k=5)]),
    SessionRequest: SessionRequest(["i0000017", "i0000360"], k=2, session_id="a-visit"),
    RankRequest: RankRequest("u0000000", ["i0000017", "i0000360"]),
    Answer: _ANSWER,
    BatchAnswer: BatchAnswer([_ANSWER]),
    FeedbackEvents: FeedbackEvents(
        [FeedbackEvent("order-4711", "purchase", "i0000360", "u0000000", _EXAMPLE_ID, 9.5)]
    ),
    ExposureReports: ExposureReports(
        [ExposureReport("page-view-815", "new-basket", 0, "wide", "u0000000", 0.5, user_id="u0000000")]
    ),
    SimilarAnswer: SimilarAnswer("ranker", _ANSWER.version, "i0000360", [SimilarItem("i0000017", 0.53)]),
    Explanation: Explanation(
        _EXAMPLE_ID,
        "ranker",
        _ANSWER.version,
        "model",
        [Explained("i0000360", ["it goes with Paper lantern (i0000017), which the user had"])],
        {"user_tenure_days": 41.0},
    ),
    ItemUpserts: ItemUpserts([ItemUpsert("i0009999", "Paper lantern", "lights", 3.95)]),
    UserUpserts: UserUpserts([UserUpsert("u0000000", "NL", ["i0000360"])]),
    Receipt: Receipt(accepted=1, duplicates=0),
    Ready: Ready(
        "ranker",
        "20261123-060420-247687-40fe08d840cb",
        wanted=WantedVersion("ranker", "20261123-060420-247687-40fe08d840cb"),
    ),
    Alive: Alive(),
}
"""What a message of each kind may look like."""

_WHY = {
    HTTPStatus.BAD_REQUEST: "A field or a header is invalid; the problem names it, its value and the limit.",
    HTTPStatus.UNAUTHORIZED: "The API key is missing or invalid.",
    HTTPStatus.FORBIDDEN: "The API key does not allow this.",
    HTTPStatus.NOT_FOUND: "The id is unknown.",
    HTTPStatus.REQUEST_TIMEOUT: "The headers or the body came too slowly.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too long.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not JSON.",
    HTTPStatus.MISDIRECTED_REQUEST: "There is no API key yet, and Host is not a name of this service.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request line and headers are too long.",
    HTTPStatus.TOO_MANY_REQUESTS: "The key's limit is reached, or the log is full; retry later.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal error. See the server log for the request id.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not ready, or the log can't be written now.",
}
_HEADERS = {
    "X-Request-Id": {
        "description": "The request's id: the caller's, if it sent 32 hexadecimal digits; else a new one.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "Retry-After": {
        "description": "Seconds to wait before a retry.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
_LOCATION = {
    "description": "The path that says what became of the request.",
    "schema": {"type": "string", "format": "uri-reference"},
}

_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "The caller's own id for this request, 32 hexadecimal digits; anything else is replaced.",
    "schema": {"type": "string", "example": _EXAMPLE_ID},
}


@dataclass(frozen=True, eq=False)
class Interface:
    """What an application says of itself in its document."""

    description: str
    """What it is for."""
    root: str
    """The path under which it is mounted."""
    messages: tuple[ModuleType, ...]
    """The modules of its structs."""
    examples: Examples
    """An example per body and answer."""


SERVICE = Interface("Recommendations of a model, and the feedback on them.", "/", (messages,), EXAMPLES)


@cache
def document(routes: tuple[AnyRoute, ...], interface: Interface = SERVICE) -> bytes:
    """Return the OpenAPI document as JSON in UTF-8, made once for the same routes and interface.

    Args:
        routes: The endpoints.
        interface: What the application that has them says of itself.
    """
    return msgspec.json.encode(describe(routes, interface))


def describe(routes: tuple[AnyRoute, ...], interface: Interface = SERVICE) -> dict[str, Any]:
    """Return the document as an object.

    Args:
        routes: The endpoints.
        interface: What the application that has them says of itself.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tastemaker",
            "version": __version__,
            "description": interface.description,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": interface.root}],
        "paths": _paths(routes, interface.examples),
        "components": {
            "schemas": _schemas(routes, interface.messages),
            "headers": _HEADERS,
            "parameters": {"X-Request-Id": _REQUEST_ID},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `tastemaker keys new`.",
                }
            },
        },
    }


def _paths(routes: tuple[AnyRoute, ...], examples: Examples) -> dict[str, dict[str, Any]]:
    """Return path -> method -> operation."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, examples)
    return paths


def _schemas(routes: tuple[AnyRoute, ...], modules: tuple[ModuleType, ...]) -> dict[str, Any]:
    """Return every message's schema, with the meaning of its fields."""
    sent = {each for route in routes for each in (route.body, route.response) if each is not None}
    _, schemas = msgspec.json.schema_components([Problem, *sent], ref_template=_REF)
    for name in schemas:
        schema = schemas[name]
        schema["description"] = inspect.cleandoc(schema["description"])
        struct = next(getattr(one, name) for one in (*modules, messages) if hasattr(one, name))
        for field, meaning in _meanings(struct).items():
            schema["properties"][field] = {"description": meaning, **schema["properties"][field]}
    return dict(sorted(schemas.items()))


def _operation(route: AnyRoute, examples: Examples) -> dict[str, Any]:
    summary, _, more = (inspect.getdoc(route.endpoint) or "").partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": route.endpoint.__name__.strip("_"),
        "tags": [route.scope or "open"],
        "summary": summary,
        "parameters": [*_parameters(route)],
        "responses": {str(int(route.status)): _success(route, examples)}
        | {str(int(one)): _failure(one) for one in sorted({*route.failures, *OF_ANY, *UNREAD})},
        "security": [] if route.scope is None else [{"key": [route.scope]}],
    }
    if more:
        operation["description"] = more
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _body(route.body, route, examples)}
    return operation


def _parameters(route: AnyRoute) -> Iterator[dict[str, Any]]:
    yield {"$ref": "#/components/parameters/X-Request-Id"}
    if "{" in route.path:
        name = route.path.partition("{")[2].rstrip("}")
        yield {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(Id)}
    if route.query is not None:
        _, schemas = msgspec.json.schema_components([route.query], ref_template=_REF)
        for name, schema in schemas[route.query.__name__]["properties"].items():
            meaning = _meanings(route.query).get(name, "")
            yield {"name": name, "in": "query", "description": meaning, "schema": schema}


def _success(route: AnyRoute, examples: Examples) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if route.status == HTTPStatus.ACCEPTED:
        headers["Location"] = _LOCATION
    if route.response is None:
        content = {route.media: {"schema": {"type": "string" if "text/" in route.media else "object"}}}
    else:
        content = {"application/json": _content(route.response, examples)}
    return {"description": "Done.", "headers": headers, "content": content}


def _failure(status: HTTPStatus) -> dict[str, Any]:
    names = ["X-Request-Id"]
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        names.append("Retry-After")
    return {
        "description": _WHY[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}},
    }


def _body(struct: type[msgspec.Struct], route: AnyRoute, examples: Examples) -> dict[str, Any]:
    """Return the kinds of bodies that a route takes."""
    one = _content(struct, examples)
    if not route.is_batch:
        return {"application/json": one}
    rows = {"schema": {"type": "array", "items": one["schema"]}, "example": [one["example"]]}
    return {"application/json": rows, "application/x-ndjson": {"schema": one["schema"]}}


def _content(struct: type[msgspec.Struct], examples: Examples) -> dict[str, Any]:
    return {
        "schema": {"$ref": _REF.format(name=struct.__name__)},
        "example": _without_nulls(msgspec.to_builtins(examples[struct])),
    }


def _without_nulls(value: Any) -> Any:
    """Return a value without its nulls, as short as a caller would write it."""
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return value


def _meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the docstrings under a struct's fields."""
    (definition,) = ast.parse(inspect.getsource(struct)).body
    found: dict[str, str] = {}
    assert isinstance(definition, ast.ClassDef)
    for field, said in itertools.pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match said:
                case ast.Expr(ast.Constant(str(meaning))):
                    found[field.target.id] = inspect.cleandoc(meaning)
    return found
