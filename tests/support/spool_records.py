"""Records and feedback for a spool, and what a spool has stored."""

from __future__ import annotations

from pathlib import Path

from tastemaker.event_log.records import Entry, FeedbackRecord, Item, Record
from tastemaker.event_log.spool import FILE_NAME, read


def record(number: int, *, occurred_at: float = 1_700_000_000.0) -> Record:
    """A request with an id of its own."""
    return Record(
        request_id=f"{number:032x}",
        occurred_at=occurred_at,
        user_id="Žofie 🛍",
        k=2,
        model="popularity",
        version="20240101T000000Z-abc",
        items=[Item("tea", 2.5, 1.0), Item("cup", 1.0, 0.25)],
        latency_ms=0.5,
        context={"device": "phone", "hour": 9},
        features={"recency_days": 3.5, "orders_per_day": None},
    )


def stored(folder: Path) -> list[Entry]:
    """Everything that is on disk."""
    pending = read(folder / FILE_NAME, 1_000_000)
    return [] if pending is None else pending.records


def click(number: int) -> FeedbackRecord:
    """Feedback with an id of its own."""
    return FeedbackRecord(f"click-{number}", "tea", "click", 1.0, 5.0, 6.0, user_id="Žofie 🛍", position=3)
