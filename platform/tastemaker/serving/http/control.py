"""How a controller of experiments has a request booked, from the header of the request."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from tastemaker.api.control import CONTROL_HEADER, ControlHeader, decode
from tastemaker.api.schemas import HTTPError
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import seed_of
from tastemaker.serving.http.asgi import Headers

NAME = CONTROL_HEADER.lower().encode()
"""As ASGI has it. `auth` decides who may send it."""


def read_control(headers: Headers, request_id: str, *, is_batch: bool = False) -> ControlHeader | None:
    """Return what the header says; None without one.

    Args:
        headers: Of the request.
        request_id: Of the request. A copy has an id of its own that gives the same seed.
        is_batch: Whether the request asks for several lists.

    Raises:
        HTTPError: 400, the header is malformed.
    """
    value = headers.get(NAME)
    if value is None:
        return None
    try:
        control = decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(str(error)) from None
    except TastemakerError as error:
        raise _malformed(error.problem) from None
    if is_batch and (control.assignment is not None or control.log == "shadow"):
        raise _malformed("an assignment and a shadow are of one request; send each to /recommend")
    original = control.shadow_of
    if original is not None and (original == request_id or seed_of(original) != seed_of(request_id)):
        raise _malformed(
            f"the copy of {original} has the id {request_id}; send an X-Request-Id that differs and has the "
            "same last 16 digits, which seed the answer"
        )
    return control


def is_copy(headers: Headers) -> bool:
    """Return whether a request is a copy for a shadow variant, whose answer no user sees."""
    value = headers.get(NAME)
    if value is None or b"shadow" not in value:  # `read_control` has decoded it: each request does so once
        return False
    try:
        return decode(value).log == "shadow"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TastemakerError):
        return False


def _malformed(why: str) -> HTTPError:
    detail = f"the header {CONTROL_HEADER} can't be used: {why}"
    return HTTPError(HTTPStatus.BAD_REQUEST, detail, field=CONTROL_HEADER)
