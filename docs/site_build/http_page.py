"""The reference page of the HTTP interface, from the OpenAPI document of a service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from site_build.json_schema import Schema, default, kind, limits
from site_build.markdown import code, heading, page, table
from tastemaker.report_in import endpoints
from tastemaker.serving.http.openapi import describe
from tastemaker.serving.http.routes import ROUTES

REPORT_INTRODUCTION = """# Report-in over HTTP

What a dashboard (`tastemaker dashboard`) takes from models that are not ours, below `/api/v1`, as in its
OpenAPI 3.1 document at `/api/v1/openapi.json`. [Report-in](../how-to/report-in.md) shows each endpoint in
use. Every response has `X-Request-Id`; every error is a [Problem](#message-problem).
"""
INTRODUCTION = """# HTTP

What a service (`tastemaker serve`) answers, as in its OpenAPI 3.1 document at `/openapi.json`.
[Serving](../how-to/serving.md) shows each endpoint in use. Every response has `X-Request-Id`; every error
is a [Problem](#message-problem).
"""


def http_page() -> str:
    """Return the page: one section per endpoint, then the messages."""
    return _page(INTRODUCTION, describe(ROUTES))


def report_page() -> str:
    """Return the page of report-in."""
    return _page(REPORT_INTRODUCTION, describe(endpoints.ROUTES, endpoints.INTERFACE))


def _page(introduction: str, document: dict[str, Any]) -> str:
    parts = ["## Endpoints"]
    for path, methods in document["paths"].items():
        parts += [_endpoint(method, path, one, document) for method, one in methods.items()]
    messages = document["components"]["schemas"].items()
    return page(introduction, *parts, "## Messages", *(_message(name, schema) for name, schema in messages))


def _endpoint(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    responses = operation["responses"].items()
    statuses = [[status, _resolved(one, document)["description"]] for status, one in responses]
    return page(
        heading(3, code(f"{method.upper()} {path}"), operation["operationId"]),
        operation["summary"],
        operation.get("description", ""),
        "\n".join(f"- {fact}" for fact in _facts(operation)),
        _parameters(operation, document),
        *_examples(operation),
        table(["Status", "When"], statuses),
    )


def _facts(operation: dict[str, Any]) -> Iterator[str]:
    security = operation.get("security")
    if security:
        ((scope,),) = (one["key"] for one in security)
        yield f"API key with the scope {code(scope)}"
    else:
        yield "no API key needed"
    for words, body in (
        ("request", operation.get("requestBody")),
        ("response", next(one for status, one in operation["responses"].items() if status < "300")),
    ):
        for media, content in (body or {}).get("content", {}).items():
            yield f"{words}: {kind(content['schema']) if 'schema' in content else 'text'} ({code(media)})"


def _parameters(operation: dict[str, Any], document: dict[str, Any]) -> str:
    found = [_resolved(one, document) for one in operation.get("parameters", ())]
    rows = [
        [code(one["name"]), one["in"], _type(one.get("schema", {})), one.get("description", "")]
        for one in found
    ]
    return table(["Parameter", "In", "Type", "Meaning"], rows) if rows else ""


def _bodies(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "Request", operation.get("requestBody", {}).get("content", {})
    yield "Response", operation["responses"].get("200", {}).get("content", {})


def _examples(operation: dict[str, Any]) -> Iterator[str]:
    for title, body in (
        ("Request", operation.get("requestBody")),
        ("Response", next(one for status, one in operation["responses"].items() if status < "300")),
    ):
        for content in (body or {}).get("content", {}).values():
            if isinstance(example := content.get("example"), dict | list):
                yield f"{title}:\n\n```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```"


def _message(name: str, schema: Schema) -> str:
    rows = [
        [
            code(field) + ("" if field in schema.get("required", ()) else " (optional)"),
            _type(one) + (f"; default {given}" if (given := default(one)) else ""),
            one.get("description", ""),
        ]
        for field, one in schema.get("properties", {}).items()
    ]
    return page(
        heading(3, name, f"message-{name.lower()}"),
        schema.get("description", ""),
        table(["Field", "Type", "Meaning"], rows) if rows else kind(schema),
    )


def _type(schema: Schema) -> str:
    return ", ".join([kind(schema), *limits(schema)])


def _resolved(part: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = document
    for key in part["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    assert isinstance(found, dict)
    return found
