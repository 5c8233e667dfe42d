"""The page at `/`, for people: the version that answers, the service's health, and how to call it.

Endpoints and messages are described from the OpenAPI document. The page needs no script and nothing from
another host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Any

from markupsafe import Markup

from tastemaker import __version__
from tastemaker.api.schemas import HTTPError, Ready
from tastemaker.html import Page, below, facts, join, render, table
from tastemaker.html.shell import policy
from tastemaker.serving.http.openapi import SERVICE, Interface, describe
from tastemaker.serving.http.routing import AnyRoute
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.worker import Worker

HEADERS = (
    (b"content-security-policy", f"{policy()}; frame-ancestors 'none'".encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""Of an HTML answer: nothing else is loaded, no site frames it, and no cache keeps it."""

_LIMITS = {
    "minLength": "at least {:,} bytes",
    "maxLength": "at most {:,} bytes",
    "minItems": "at least {:,}",
    "maxItems": "at most {:,}",
    "maxProperties": "at most {:,}",
    "minimum": "from {:,}",
    "maximum": "up to {:,}",
}
_LARGEST_SHOWN = 1e12
"""Limits beyond this are not shown: they only keep out nonsense."""


def html(process: ServingProcess[Worker], routes: tuple[AnyRoute, ...]) -> bytes:
    """Return the page as it is now, as HTML in UTF-8.

    Args:
        process: The process whose version and health are shown; the page says so if no version is loaded.
        routes: The endpoints that the page describes.
    """
    try:
        ready = process.worker.ready()
    except HTTPError as refusal:
        page = Page(
            "Prediction service", f"Not ready: {refusal}.", "No model answers", _now(), described(routes)
        )
    else:
        body = join([Markup("<h2>Health</h2>"), _health(ready), described(routes)])
        rows = f"Version {ready.version} of {ready.model}"
        page = Page(f"Prediction service: {ready.model}", verdict(ready.degraded), rows, _now(), body)
    return render(page).encode()


def _now() -> datetime:
    return datetime.now(UTC)


def verdict(degraded: Sequence[str]) -> str:
    """Return in one sentence whether all works."""
    if degraded:
        return "Lists are answered, but not everything works: " + "; ".join(degraded) + "."
    return "Lists are answered, and everything works."


def _health(ready: Ready) -> Markup:
    wanted = ready.wanted
    known = {"Model": ready.model, "Version": ready.version}
    if wanted:
        known["Wanted"] = f"{wanted.version} of {wanted.model}"
    if ready.pinned:
        known["Pinned"] = "yes: no deployment replaces this version"
    if ready.engines:
        known["All versions"] = "; ".join(f"{one.version} of {one.model}" for one in ready.engines)
    known["Degraded"] = "; ".join(ready.degraded) or "nothing"
    return links(known, {"For programs": "/readyz", "For Prometheus": "/metrics"})


def links(known: Mapping[str, str], paths: Mapping[str, str]) -> Markup:
    """Return facts about the process, with links to its own paths and the version of the platform.

    Args:
        known: What each fact is called -> its text, in the order in which they are shown.
        paths: What each link is called -> the path of this service that it leads to, shown after the facts.
    """
    linked = {what: Markup('<a href="{}">{}</a>').format(path, path) for what, path in paths.items()}
    return facts(dict(known) | linked | {"Tastemaker": __version__})


@cache
def described(routes: tuple[AnyRoute, ...], interface: Interface = SERVICE) -> Markup:
    """Return the OpenAPI document as HTML for people.

    Args:
        routes: The endpoints, in the order in which they are shown.
        interface: What the application that has them says of itself.
    """
    document = describe(routes, interface)
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        Markup("<h2>Endpoints</h2>"),
        Markup('<p>As a document for programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>'),
        table(
            ["Endpoint", "What it does"],
            [
                [below(_linked(name, operation), _scope(operation)), operation["summary"]]
                for name, operation in operations
            ],
            classes={0: "name", 1: "name"},
        ),
        *(_endpoint(name, operation) for name, operation in operations),
        Markup('<h2 id="refusals">Refusals</h2>\n<p>Each is a {}.</p>').format(_linked_message("Problem")),
        _refusals([operation for _, operation in operations]),
        Markup("<h2>Messages</h2>"),
        *(_message(name, schema) for name, schema in document["components"]["schemas"].items()),
    ]
    return join(parts)


def _linked(name: str, operation: Mapping[str, Any]) -> Markup:
    return Markup('<a href="#{}">{}</a>').format(operation["operationId"], name)


def _scope(operation: Mapping[str, Any]) -> str:
    if not operation["security"]:
        return "needs no key"
    ((scope,),) = (one["key"] for one in operation["security"])
    return f"scope {scope}"


def _endpoint(name: str, operation: Mapping[str, Any]) -> Markup:
    method, path = name.split(" ")
    shown = Markup('<a href="{}">{}</a>').format(path, path) if method == "GET" and "{" not in path else path
    parts = [
        Markup('<h3 id="{}">{} {}</h3>').format(operation["operationId"], method, shown),
        Markup("<p>{} {}</p>").format(operation["summary"], operation.get("description", "")),
    ]
    parameters = [one for one in operation["parameters"] if "name" in one]
    if parameters:
        rows = [
            [one["name"], f"in the {one['in']}", _kind(one["schema"]), one.get("description", "")]
            for one in parameters
        ]
        parts.append(
            table(["Parameter", "Where", "What it is", "Meaning"], rows, classes={2: "text", 3: "text"})
        )
    if "requestBody" in operation:
        parts.append(_content("Body", operation["requestBody"]["content"]))
    parts.append(_content("Answer", operation["responses"]["200"]["content"]))
    refusals = [status for status in operation["responses"] if status != "200"]
    parts.append(Markup('<p>May be <a href="#refusals">refused</a>: {}.</p>').format(", ".join(refusals)))
    return join(parts)


def _refusals(operations: Iterable[Mapping[str, Any]]) -> Markup:
    meanings = {
        status: response["description"]
        for operation in operations
        for status, response in operation["responses"].items()
        if status != "200"
    }
    return facts({f"{one} {HTTPStatus(int(one)).phrase}": meanings[one] for one in sorted(meanings)})


def _content(what: str, content: Mapping[str, Any]) -> Markup:
    """Return the message of a request's body or of an answer, with an example."""
    ((kind, said),) = content.items()
    if "example" not in said:
        return Markup("<p>{}: {}</p>").format(what, kind)
    example = json.dumps(said["example"], indent=1, ensure_ascii=False)
    return Markup('<p>{}: {}, such as</p>\n<div class="wide" tabindex="0"><pre>{}</pre></div>').format(
        what, _kind(said["schema"]), example
    )


def _message(name: str, schema: Mapping[str, Any]) -> Markup:
    required = schema.get("required", ())
    rows = [
        [field, _kind(one), "yes" if field in required else _default(one), one.get("description", "")]
        for field, one in schema["properties"].items()
    ]
    heads = ["Field", "What it is", "Required", "Meaning"]
    return join(
        [
            Markup('<h3 id="message-{}">{}</h3>').format(name, name),
            Markup("<p>{}</p>").format(schema["description"]),
            table(heads, rows, classes={1: "text", 3: "text"}),
        ]
    )


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return "no" if default in (None, [], {}) else f"no: {json.dumps(default)}"


def _kind(schema: Mapping[str, Any]) -> Markup:
    """Return a schema in words, in which messages are links."""
    if "$ref" in schema:
        return _linked_message(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return join((_kind(one) for one in schema["anyOf"] if one != {"type": "null"}), " or ")
    if "const" in schema or "enum" in schema:
        return join(map(json.dumps, schema.get("enum") or [schema["const"]]), " or ")
    name = Markup("").join([schema.get("type", "anything")])
    if "items" in schema:
        name = Markup("list of {}").format(_kind(schema["items"]))
    elif isinstance(schema.get("additionalProperties"), Mapping):
        name = Markup("object of {}").format(_kind(schema["additionalProperties"]))
    return join([name, *_limits(schema)], ", ")


def _linked_message(name: str) -> Markup:
    return Markup('<a href="#message-{}">{}</a>').format(name, name)


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    for key, words in _LIMITS.items():
        if key in schema and abs(schema[key]) < _LARGEST_SHOWN:
            yield words.format(schema[key])
