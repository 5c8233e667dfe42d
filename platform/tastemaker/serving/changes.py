"""POST /items and /users: what callers change, durable before they are told so: logged, and for answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from tastemaker.logs.records import ItemRecord, UserRecord
from tastemaker.logs.spool import Spool
from tastemaker.serving import overlay
from tastemaker.serving.intake import DISK_SECONDS, keep
from tastemaker.serving.messages import ItemUpsert, Receipt, Refusal, UserUpsert
from tastemaker.serving.overlay import Overlay, OverlayError

Changes = Sequence[ItemRecord | UserRecord]


async def keep_changes(spool: Spool, records: Changes, reader: Overlay | None) -> Receipt:
    """Returns when the changes are durable, and known to this process's `reader`.

    Raises Refusal, 429 or 503, with a time to come back. Sending a change again does no harm.
    """
    receipt = await keep(spool, records)
    await asyncio.to_thread(_put, spool.path.parent, records, reader)
    return receipt


def item_records(items: Sequence[ItemUpsert], now: float) -> list[ItemRecord]:
    """The changes as they are logged; `now` in seconds since 1970 UTC."""
    return [
        ItemRecord(item.item_id, now, item.title, item.category, item.price, item.available) for item in items
    ]


def user_records(users: Sequence[UserUpsert], now: float) -> list[UserRecord]:
    """The changes as they are logged; `now` in seconds since 1970 UTC."""
    return [UserRecord(user.user_id, now, user.country, user.blocked_items) for user in users]


def _put(folder: Path, records: Changes, reader: Overlay | None) -> None:
    try:
        overlay.put(folder, records)
    except OverlayError:
        detail = "the changes can't be written now; send them again"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after=DISK_SECONDS) from None
    if reader is not None:
        reader.refresh(at_once=True)
