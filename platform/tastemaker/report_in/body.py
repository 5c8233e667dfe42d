"""Bodies of reports: JSON or NDJSON, compressed or not, with a limit on what they unpack to."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from tastemaker.api.report_schemas import MAX_ROWS
from tastemaker.api.schemas import MAX_BODY_BYTES, HTTPError

BODY_SECONDS = 30
"""How long a reporter may take to send a body."""
_JSON = ("", "application/json", "application/x-www-form-urlencoded")
"""`curl -d` labels bodies as a form."""
_LINES = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")
_GZIP = 16 + zlib.MAX_WBITS


async def read_body(request: Request) -> bytes:
    """Return the whole body, unpacked.

    Raises:
        HTTPError: 408 if it is late, 413 if it is too long, packed or not, 415 if its encoding is unknown.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        _unsupported("Content-Encoding", encoding, "gzip")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _received(request)
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS} s"
        raise HTTPError(HTTPStatus.REQUEST_TIMEOUT, detail, field="body", limit=BODY_SECONDS) from None
    return unpacked(body) if encoding == "gzip" else body


def unpacked(body: bytes) -> bytes:
    """Return what gzip packed; no more than the limit is ever unpacked. Raises HTTPError (400, 413)."""
    stream = zlib.decompressobj(_GZIP)
    try:
        found = stream.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise HTTPError(HTTPStatus.BAD_REQUEST, f"the body is not gzip: {error}", field="body") from None
    if len(found) > MAX_BODY_BYTES:
        _too_long()
    if not stream.eof or stream.unused_data:
        raise HTTPError(HTTPStatus.BAD_REQUEST, "the body is not one whole gzip stream", field="body")
    return found


def rows_in(body: bytes, content_type: str) -> list[tuple[int, Any]]:
    """Return place and content of each row; a line that is not JSON is a row that no check passes.

    Args:
        body: A JSON array or object, or NDJSON.
        content_type: The request's header Content-Type, with or without parameters.

    Raises:
        HTTPError: 400 if it is not JSON, 413 if it has too many rows, 415 if it is something else.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _LINES:
        rows = list(_lines(body))
    elif kind in _JSON:
        found = _decoded(body)
        rows = list(enumerate(found)) if isinstance(found, list) else [(0, found)]
    else:
        _unsupported("Content-Type", content_type[:100], "application/json or application/x-ndjson")
    if len(rows) > MAX_ROWS:
        detail = f"the body has {len(rows):,} rows, at most {MAX_ROWS:,} are allowed"
        raise HTTPError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, field="body", limit=MAX_ROWS)
    return rows


def _lines(body: bytes) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(one for one in body.splitlines() if one.strip()):
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError):
            yield number, line.decode(errors="replace")


def _decoded(body: bytes) -> Any:
    """Return JSON, with NaN and Infinity as numbers: the row that has one is refused, not the report."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPError(HTTPStatus.BAD_REQUEST, f"the body can't be read as JSON: {error}") from None


async def _received(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                _too_long()
    except ClientDisconnect:
        raise HTTPError(HTTPStatus.BAD_REQUEST, "the caller hung up", field="body") from None
    return bytes(body)


def _too_long() -> NoReturn:
    detail = f"the body has more than {MAX_BODY_BYTES} bytes"
    raise HTTPError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, field="body", limit=MAX_BODY_BYTES)


def _unsupported(header: str, given: str, allowed: str) -> NoReturn:
    detail = f"{header} = {given!r}: only {allowed} is supported"
    raise HTTPError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, field=header, value=given)
