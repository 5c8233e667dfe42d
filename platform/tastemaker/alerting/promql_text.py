"""Numbers and durations as PromQL writes them."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """Return a duration as PromQL writes it.

    >>> duration(60), duration(5400), duration(259200), duration(0.5)
    ('1m', '90m', '3d', '500ms')
    """
    milliseconds = round(seconds * 1000)
    for unit, size in (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def number(value: float) -> str:
    """Return a number as PromQL writes it.

    >>> number(0.05), number(100.0), number(float("inf"))
    ('0.05', '100', '+Inf')
    """
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def offset_of(seconds: float) -> str:
    """Return the modifier that reads a metric as it was earlier; empty for now.

    >>> offset_of(604_800)
    ' offset 1w'
    """
    return f" offset {duration(seconds)}" if seconds else ""
