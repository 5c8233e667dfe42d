"""What is said over HTTP: the request, the answer, and the problem document that refuses a request."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tastemaker.logs.records import Item

MAX_ID_BYTES = 200
"""As in the canonical tables."""
MAX_K = 1_000
MAX_LISTED = 10_000
"""The longest `exclude`, `candidates` or `context`."""
MAX_BODY_BYTES = 4 << 20

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
Ids = Annotated[list[Id], Meta(max_length=MAX_LISTED)]
Context = (
    Annotated[list[float], Meta(max_length=MAX_LISTED)]
    | Annotated[dict[str, str | float | bool | None], Meta(max_length=MAX_LISTED)]
)


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /recommend: who asks for how many items."""

    user_id: Id
    """A user that training never saw is answered too."""
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = 10
    """The length of the list."""
    context: Context | None = None
    """The situation: numbers are handed to the model in this order; names with values are only logged."""
    exclude: Ids | None = None
    """Items not to show, such as what is on the page already. Unknown ids are ignored."""
    candidates: Annotated[list[Id], Meta(min_length=1, max_length=MAX_LISTED)] | None = None
    """If given, only these may be shown. Unknown ids are ignored."""


class Answer(msgspec.Struct, frozen=True):
    """k items, best first; fewer only where so few are allowed."""

    request_id: str
    """32 hexadecimal digits. Events that the answer causes are to carry it."""
    model: str
    version: str
    items: list[Item]
    fallback: str | None
    """Why popular items fill (part of) the list, as in `predictor`; null where the model answered in full."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refusal, as RFC 9457's application/problem+json with what was wrong and what is allowed."""

    title: str
    status: int
    detail: str
    field: str | None = None
    value: Any = None
    limit: int | None = None


class Refusal(Exception):
    """Carries the problem document to whoever sends it."""

    def __init__(self, status: HTTPStatus, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.problem = Problem(status.phrase, int(status), detail, **more)


_decoder = msgspec.json.Decoder(Request)
_SAID = re.compile(r"(?P<detail>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"(?:unknown|missing required) field `(?P<name>.*)`")
_LIMIT = re.compile(r"(?:<=|>=) (?P<limit>\d+)")
_SHOWN_LENGTH = 200


def read_request(body: bytes) -> Request:
    """Parse and validate a body. Raises Refusal (400) naming the field, its value and the limit."""
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _refused(str(error), body) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body can't be read as JSON: {error}") from None
    _check_bytes("user_id", request.user_id)
    for name, ids in (("exclude", request.exclude), ("candidates", request.candidates)):
        for position, one in enumerate(ids or ()):
            _check_bytes(f"{name}[{position}]", one)
    return request


def _check_bytes(field: str, value: str) -> None:
    """The struct limits characters, the tables limit bytes: they differ only beyond ASCII."""
    if not value.isascii() and (size := len(value.encode())) > MAX_ID_BYTES:
        detail = f"{field} has {size} bytes, at most {MAX_ID_BYTES} are allowed"
        raise Refusal(HTTPStatus.BAD_REQUEST, detail, field=field, value=value, limit=MAX_ID_BYTES)


def _refused(message: str, body: bytes) -> Refusal:
    """The refusal that msgspec's message, such as "Expected `int` >= 1 - at `$.k`", amounts to."""
    said = _SAID.fullmatch(message)
    detail, path = (said["detail"], said["path"] or "$") if said else (message, "$")
    field = path.removeprefix("$").removeprefix(".")
    if named := _NAMED.search(detail):
        field = f"{field}.{named['name']}".removeprefix(".")
    value = _shorten(_at(body, field))
    limit = _LIMIT.search(detail)
    given = f"{field} = {value!r}: " if value is not None else f"{field}: " if field else ""
    return Refusal(
        HTTPStatus.BAD_REQUEST,
        given + detail,
        field=field or None,
        value=value,
        limit=int(limit["limit"]) if limit else None,
    )


def _at(body: bytes, path: str) -> Any:
    """The part of the body at a path such as `exclude[3]`, or None."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):  # such as a number that is out of range everywhere
        return None
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if name and isinstance(value, dict):
            value = value.get(name)
        elif index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            return None
    return value


def _shorten(value: Any) -> Any:
    """The value, or its beginning if it is too long to send back."""
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"
