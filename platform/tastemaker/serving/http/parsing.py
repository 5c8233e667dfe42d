"""Decoding of bodies and queries by their structs. An error names the field, its value and the limit."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from tastemaker.api.schemas import MAX_ID_BYTES, HTTPError

T = TypeVar("T", bound=msgspec.Struct)

_SAID = re.compile(r"(?P<detail>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"(?:unknown|missing required) field `(?P<name>[^`]*)`")
_LIMIT = re.compile(r"(?:<=|>=) (?P<limit>-?\d+)")
_SHOWN_LENGTH = 200


class Decoder(Generic[T]):
    """Decodes one kind of body. Create one per kind: it is compiled then."""

    def __init__(self, kind: type[T]) -> None:
        self._kind, self._decode = kind, msgspec.json.Decoder(kind).decode

    def __call__(self, body: bytes) -> T:
        """Decode and validate a body. Raises HTTPError (400)."""
        try:
            message = self._decode(body)
        except msgspec.ValidationError:
            message = self._forgiving(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPError(HTTPStatus.BAD_REQUEST, f"the body can't be read as JSON: {error}") from None
        if (
            not body.isascii() or b"\\u" in body
        ):  # else every id is as many bytes as characters, and printable
            _check_texts(message, "")
        return message

    def _forgiving(self, body: bytes) -> T:
        """Decode a body with 5.0 for 5: in JSON they are the same number. Raises HTTPError (400)."""
        try:
            return msgspec.convert(_with_whole_numbers(msgspec.json.decode(body)), self._kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _refused(str(error), body) from None


class QueryReader(Generic[T]):
    """Decodes query strings, in which each name occurs once."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind

    def __call__(self, query: bytes) -> T:
        """Decode and validate a query string. Raises HTTPError (400)."""
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        said = dict(pairs)
        if len(said) < len(pairs):
            raise HTTPError(HTTPStatus.BAD_REQUEST, "a name occurs twice in the query; once is allowed")
        try:
            return msgspec.convert(said, self._kind, strict=False)
        except msgspec.ValidationError as error:
            raise _refused(str(error), msgspec.json.encode(said)) from None


def read_id(field: str, value: str) -> str:
    """Return an id from a path if it is valid.

    Args:
        field: The name of the id, for the problem document.
        value: The id, decoded from the path.

    Raises:
        HTTPError: 400 if it has more than MAX_ID_BYTES bytes or holds a NUL character.
    """
    check_text(field, value)
    if len(value) > MAX_ID_BYTES:
        detail = f"{field} has {len(value)} characters, at most {MAX_ID_BYTES} are allowed"
        raise _too_long(field, value, detail)
    return value


def _with_whole_numbers(value: Any) -> Any:
    """Return the value with integers for whole floats."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_whole_numbers(one) for one in value]
    if isinstance(value, dict):
        return {name: _with_whole_numbers(one) for name, one in value.items()}
    return value


def _check_texts(message: Any, path: str) -> None:
    """Check texts for what the structs do not limit: bytes of ids, and NUL characters."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        field = f"{path}.{name}".removeprefix(".")
        if isinstance(value, str):
            check_text(field, value, limited=name.endswith("_id"))
        elif isinstance(value, list):
            for position, one in enumerate(value):
                if isinstance(one, str):
                    check_text(f"{field}[{position}]", one)
                elif isinstance(one, msgspec.Struct):
                    _check_texts(one, f"{field}[{position}]")
        elif isinstance(value, dict):
            for key, one in value.items():
                check_text(field, key, limited=False)
                if isinstance(one, str):
                    check_text(f"{field}.{key}", one, limited=False)


def check_text(field: str, value: str, *, limited: bool = True) -> None:
    """Raise HTTPError unless every table can hold the text.

    Args:
        field: The name of the field, for the message.
        value: Its text.
        limited: Whether it is an id, which has a greatest length.

    Raises:
        HTTPError: 400.
    """
    if "\0" in value:
        detail = f"{field} = {shortened(value)!r}: holds a NUL character, which is not allowed"
        raise HTTPError(HTTPStatus.BAD_REQUEST, detail, field=field, value=shortened(value))
    if limited and not value.isascii() and (size := len(value.encode())) > MAX_ID_BYTES:
        detail = f"{field} has {size} bytes, at most {MAX_ID_BYTES} are allowed"
        raise _too_long(field, value, detail)


def _too_long(field: str, value: str, detail: str) -> HTTPError:
    shown = shortened(value)
    return HTTPError(HTTPStatus.BAD_REQUEST, detail, field=field, value=shown, limit=MAX_ID_BYTES)


def _refused(message: str, body: bytes) -> HTTPError:
    """Return the error for a message of msgspec, such as "Expected `int` >= 1 - at `$.k`"."""
    said = _SAID.fullmatch(message)
    detail, path = (said["detail"], said["path"] or "$") if said else (message, "$")
    field = path.removeprefix("$").removeprefix(".")
    if named := _NAMED.search(detail):
        field = f"{field}.{named['name']}".removeprefix(".")
    value = shortened(_at(body, field))
    limit = _LIMIT.search(detail)
    given = f"{field} = {value!r}: " if value is not None else f"{field}: " if field else ""
    return HTTPError(
        HTTPStatus.BAD_REQUEST,
        given + detail,
        field=field or None,
        value=value,
        limit=int(limit["limit"]) if limit else None,
    )


def _at(body: bytes, path: str) -> Any:
    """Return the part of the body at a path such as `exclude[3]`, or None."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):  # such as a number beyond every range
        return None
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if name and isinstance(value, dict):
            value = value.get(name)
        elif index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            return None
    return value


def shortened(value: Any) -> Any:
    """Return the value, or its beginning if it is too long to send back."""
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"
