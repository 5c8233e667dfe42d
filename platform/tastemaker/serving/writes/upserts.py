"""POST /items and /users: changes are durable, in the log and for answers, before they are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from tastemaker.api.schemas import HTTPError, ItemUpsert, Receipt, UserUpsert
from tastemaker.event_log.records import ItemRecord, UserRecord
from tastemaker.event_log.spool import Spool
from tastemaker.serving.writes import catalog_overrides
from tastemaker.serving.writes.catalog_overrides import CatalogOverrides, OverridesError
from tastemaker.serving.writes.feedback import DISK_RETRY_SECONDS, append_durably
from tastemaker.util.canonical_texts import canonical_text

Changes = Sequence[ItemRecord | UserRecord]


async def append_upserts(spool: Spool, records: Changes, readers: Sequence[CatalogOverrides]) -> Receipt:
    """Store changes; return when they are durable and this process's readers know them.

    Sending a change again does no harm.

    Args:
        spool: Where the changes are stored.
        records: New or changed items and users.
        readers: What this process reads changes by.

    Raises:
        HTTPError: 429 or 503, with a time to retry.
    """
    receipt = await append_durably(spool, records)
    await asyncio.to_thread(_put, spool.path.parent, records, readers)
    return receipt


def item_records(items: Sequence[ItemUpsert], now: float) -> list[ItemRecord]:
    """Return the changes as they are logged, in their order.

    Args:
        items: What callers sent, with ids in the form in which they are stored.
        now: When they were received, seconds since 1970 UTC by the server's clock.
    """
    return [
        ItemRecord(item.item_id, now, _text(item.title), _text(item.category), item.price, item.available)
        for item in items
    ]


def user_records(users: Sequence[UserUpsert], now: float) -> list[UserRecord]:
    """Return the changes as they are logged, in their order.

    Args:
        users: What callers sent, with ids in the form in which they are stored.
        now: When they were received, seconds since 1970 UTC by the server's clock.
    """
    return [UserRecord(user.user_id, now, _text(user.country), user.blocked_items) for user in users]


def _text(given: str | None) -> str | None:
    """Return a text in the form that sources' texts have, so that a blocked category matches it."""
    return None if given is None else canonical_text(given)


def _put(folder: Path, records: Changes, readers: Sequence[CatalogOverrides]) -> None:
    try:
        catalog_overrides.put(folder, records)
    except OverridesError:
        detail = "the changes can't be written now; send them again"
        raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after=DISK_RETRY_SECONDS) from None
    for reader in readers:
        reader.refresh(at_once=True)
