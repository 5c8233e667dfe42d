"""POST /feedback: events that are in the durable log before they are acknowledged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus

from tastemaker.api.schemas import FeedbackEvent, HTTPError, Receipt
from tastemaker.event_log.records import Entry, FeedbackRecord
from tastemaker.event_log.spool import Spool, SpoolError, SpoolFull
from tastemaker.util.canonical_texts import canonical_text

DISK_RETRY_SECONDS = 10
"""When a caller may retry while the disk can't be written."""


async def append_durably(spool: Spool, records: Sequence[Entry]) -> Receipt:
    """Write records; return when they are on disk.

    Args:
        spool: The log.
        records: Records of any kind.

    Returns:
        The number of records that are new in the log, and of those that it had already.

    Raises:
        HTTPError: 429 if the log is full, 503 if the disk can't be written; each with a time to retry.
    """
    try:
        stored = await spool.stored(records)
    except SpoolError as error:
        raise as_refusal(error) from None
    return Receipt(stored.accepted, stored.duplicates)


def as_refusal(error: SpoolError) -> HTTPError:
    """Return what a caller is answered whose records the log did not take."""
    if isinstance(error, SpoolFull):
        wait = math.ceil(error.retry_seconds)
        return HTTPError(HTTPStatus.TOO_MANY_REQUESTS, error.problem, retry_after=wait)
    detail = "the log can't be written now; nothing of this request was stored"
    return HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after=DISK_RETRY_SECONDS)


def feedback_records(events: Sequence[FeedbackEvent], now: float) -> list[FeedbackRecord]:
    """Return the events as they are logged, in their order.

    Args:
        events: What callers sent, with ids in the form in which they are stored.
        now: When they were received, seconds since 1970 UTC by the server's clock.
    """
    return [
        FeedbackRecord(
            event_id=event.event_id,
            item_id=event.item_id,
            event_type=canonical_text(event.event_type),
            value=event.value,
            occurred_at=now if event.occurred_at is None else event.occurred_at,
            received_at=now,
            user_id=event.user_id,
            request_id=event.request_id,
            position=event.position,
        )
        for event in events
    ]
