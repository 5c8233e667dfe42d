"""The header by which a controller of experiments says how a service books a request.

The controller assigns the unit and chooses the service; the service answers, and logs what the header says.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tastemaker.event_log.records import Assignment

CONTROL_HEADER = "X-Tastemaker-Control"
CONTROLLED = "TASTEMAKER_CONTROLLED"
"""Environment: `1` where the service's callers on its Unix socket are its controller."""
Booking = Literal["request", "shadow", "none"]
"""As what an answer is logged: as one that a user sees, as one that no user sees, or not at all."""


class ControlHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What the header holds, as JSON. It is for one list: a batch takes it without an assignment only."""

    assignment: Assignment | None = None
    """The variant that the unit was assigned to; None where no experiment assigned one."""
    log: Booking = "request"
    shadow_of: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")] | None = None
    """The id of the request that a user saw, where this one is its copy (`log` is `shadow`)."""

    def __post_init__(self) -> None:
        if (self.log == "shadow") != (self.shadow_of is not None):
            raise ValueError(
                f"log is {self.log!r} and shadow_of is {self.shadow_of!r}: only a shadow has one"
            )


_decode = msgspec.json.Decoder(ControlHeader).decode


def encode(control: ControlHeader) -> bytes:
    """Return the header's value, in printable ASCII."""
    value = msgspec.json.encode(control)
    if not value.isascii():
        value = json.dumps(msgspec.to_builtins(control)).encode()
    return value.replace(b"\x7f", b"\\u007f")


def decode(value: bytes) -> ControlHeader:
    """Return what a header holds.

    Raises:
        msgspec.DecodeError: It is malformed.
        TastemakerError: Its assignment can't be logged.
    """
    return _decode(value)
