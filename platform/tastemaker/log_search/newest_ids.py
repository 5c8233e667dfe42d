"""The ids of the newest requests that match a query: examples for an alert's message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.event_log import spool_file
from tastemaker.log_search.search import newest_spooled, parser_for, search

if TYPE_CHECKING:
    from tastemaker.settings import Settings


def newest_ids(text: str, settings: Settings, limit: int) -> list[str]:
    """Return the ids of the newest requests that match, newest first.

    The spool has the newest requests: if it has enough matches, nothing else is opened.

    Args:
        text: The query, as a person writes it.
        settings: Name the spool, the log database and the lake.
        limit: The most ids.

    Raises:
        TastemakerError: The query is wrong, or the log can't be read.
    """
    query = parser_for(settings).parse(text)
    spooled = {
        one.request_id: one.occurred_at
        for one in newest_spooled(settings.spool / spool_file.FILE_NAME, query, limit)
    }
    if len(spooled) >= limit:
        return sorted(spooled, key=lambda one: (-spooled[one], one))[:limit]
    return [one.request_id for one in search(query, settings, limit)]
