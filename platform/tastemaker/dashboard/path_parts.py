"""Parts of an address."""

from __future__ import annotations

from tastemaker.errors import TastemakerError
from tastemaker.storage.row_numbers import MOST_ROW


def row_number(text: str) -> int:
    """Return the number of a row in an address or a form. Raises TastemakerError if it can't be one.

    >>> row_number("12")
    12
    """
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= MOST_ROW):
        raise TastemakerError(
            f"the number is {text[:50]!r}, must be a whole number up to {MOST_ROW:,}",
            fix="choose one of the list",
        )
    return int(text)
