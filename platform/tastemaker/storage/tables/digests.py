"""Weekly digests that were sent."""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table, Text

from tastemaker.storage.tables.columns import UtcDateTime, metadata

digest_deliveries = Table(
    "digest_deliveries",
    metadata,
    Column("problem", String(200), primary_key=True, doc="the problem's name"),
    Column("week", String(10), primary_key=True, doc="the week by ISO 8601, such as 2026-W47"),
    Column("channel", String(50), primary_key=True, doc="the channel's name"),
    Column("tries", Integer, nullable=False, doc="attempts"),
    Column("attempted_at", UtcDateTime, nullable=False, doc="when the newest attempt began"),
    Column("outcome", String(10), doc="sent, retry or rejected; null: that attempt has no result"),
    Column("detail", Text, doc="the receiver's last words"),
)
