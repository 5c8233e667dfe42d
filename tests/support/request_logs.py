"""Records to log, and homes whose log they are in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tastemaker.event_log.records import (
    Assignment,
    Entry,
    ExposureRecord,
    FeedbackRecord,
    Item,
    Record,
    ShadowRecord,
)
from tastemaker.event_log.spool import Spool
from tastemaker.settings import LogSettings, Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def request(number: int, **other: Any) -> Record:
    """A request whose answer has two items."""
    fields: dict[str, Any] = {
        "request_id": f"{number:032x}",
        "occurred_at": NOON + number,
        "user_id": f"user-{number}",
        "k": 2,
        "model": "random",
        "version": "v1",
        "items": [Item("tea", 0.5, 0.25), Item("cup", -1.5, 0.125)],
        "latency_ms": 0.75,
        "context": {"page": "home"},
        "features": {"recency_days": None, "orders_per_day": 0.5},
    }
    return Record(**fields | other)


def click(name: int | str, **other: Any) -> FeedbackRecord:
    """Ann's click on tea, which came as it happened."""
    fields: dict[str, Any] = {
        "event_id": f"click-{name}",
        "item_id": "tea",
        "event_type": "click",
        "value": 1.0,
        "occurred_at": NOON,
        "received_at": NOON,
        "user_id": "ann",
    }
    return FeedbackRecord(**fields | other)


def shadow(number: int, *, shadow_of: int, **other: Any) -> ShadowRecord:
    """The answer to the copy of a request."""
    return ShadowRecord(f"{shadow_of:032x}", request(number, **{"user_id": f"user-{shadow_of}"} | other))


def exposure(name: int | str, **other: Any) -> ExposureRecord:
    """Ann's exposure to a wide basket, which came as it happened; `other`: of it or its assignment."""
    assigned: dict[str, Any] = {
        "experiment": "new-basket",
        "epoch": 0,
        "variant": "wide",
        "probability": 0.5,
        "served": "wide",
        "plan": "0123456789abcdef",
        "unit": "ann",
    }
    fields: dict[str, Any] = {"occurred_at": NOON, "received_at": NOON, "user_id": "ann"}
    for field, value in other.items():
        (assigned if field in assigned else fields)[field] = value
    return ExposureRecord(f"exposure-{name}", Assignment(**assigned), **fields)


def as_json(record: Entry) -> str:
    """The whole record."""
    return msgspec.json.encode(record).decode()


def fill(folder: Path, records: Sequence[Entry]) -> None:
    """Log these, as a serving process that then ends."""
    spool = Spool(folder)
    for one in records:
        spool.offer(one)
    spool.close()


def settings_of(home: Path, url: str | None = None) -> Settings:
    """A home whose log goes to a Postgres, or to its own lake."""
    log = LogSettings() if url is None else LogSettings(target="postgres", url=url)
    return Settings(home=home, log=log)
