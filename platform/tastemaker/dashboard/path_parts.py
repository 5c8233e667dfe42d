"""Parts of an address."""

from __future__ import annotations

from tastemaker.errors import TastemakerError

MOST = 2**31 - 1
"""The highest number of a row that every database has."""


def row_number(text: str) -> int:
    """Return the number of a row in an address or a form. Raises TastemakerError if it can't be one.

    >>> row_number("12")
    12
    """
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= MOST):
        raise TastemakerError(
            f"the number is {text[:50]!r}, must be a whole number up to {MOST:,}",
            fix="choose one of the list",
        )
    return int(text)
