"""Ids of requests and events that foreign models report, as the log has them."""

from __future__ import annotations

from urllib.parse import quote


def stored_id(source: str, given: str) -> str:
    """Return the id under which a source's request or event is logged: no other source has the same.

    The part before the first slash is percent-encoded and holds none itself.

    Args:
        source: The name of the source, which may hold any character.
        given: The id that the source reports.

    >>> stored_id("search team", "r/1")
    'search%20team/r/1'
    """
    return f"{quote(source, safe='')}/{given}"
