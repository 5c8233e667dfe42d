"""The ingested days, and the log of requests and feedback."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Date,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from tastemaker.storage.tables.columns import UtcDateTime, metadata

ingested_days = Table(
    "ingested_days",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("day", Date, primary_key=True),
    Column(
        "digest",
        String(64),
        nullable=False,
        doc="of the day's rows at the source: unchanged, it is not read again",
    ),
    Column("rows_read", BigInteger, nullable=False, doc="rows that the source had"),
    Column("rows_accepted", BigInteger, nullable=False, doc="rows that became events"),
    Column("rows_quarantined", JSON, nullable=False, doc="reason -> rows"),
    Column("ingested_at", UtcDateTime, nullable=False, doc="when the day was read"),
    Index(None, "source", "ingested_at"),
)

log_records = Table(
    "log_records",
    metadata,
    Column(
        "number",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
        doc="in the order of commits: all rows after a number are new since it was read",
    ),
    Column("kind", String(10), nullable=False, doc="request, shadow, exposure, feedback, item or user"),
    Column(
        "key",
        Text,
        nullable=False,
        doc="request, event or exposure id; else the spool and the record's number",
    ),
    Column("user_id", Text, doc="null where only the request is known"),
    Column("at", UtcDateTime, nullable=False, doc="time of the request or report, by the service's clock"),
    Column("record", JSON, nullable=False, doc="the record as JSON"),
    UniqueConstraint("kind", "key", name="uq_log_records_kind_key"),
    Index(None, "user_id"),
    Index(None, "at"),
)
