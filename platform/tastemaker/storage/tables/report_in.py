"""What foreign models report: who they are, their health, and the tables that others insert into."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from tastemaker.storage.tables.columns import UtcDateTime, metadata

_NUMBER = BigInteger().with_variant(Integer, "sqlite")


def _inserted(*columns: Column[Any]) -> tuple[Column[Any], ...]:
    """Return the columns of a table that others insert into.

    Types are loose, so that a row with a wrong value is refused with a reason, not with a driver's error.
    """
    return (
        Column("id", _NUMBER, primary_key=True, autoincrement=True, doc="in the order of the inserts"),
        Column(
            "source", String(100), nullable=False, doc="who inserted the row; the database's user if absent"
        ),
        *columns,
    )


reported_models = Table(
    "reported_models",
    metadata,
    Column("model", String(100), primary_key=True, doc="the model's name, in all that is reported of it"),
    Column("source", String(100), nullable=False, doc="the only source that may report it"),
    Column("title", String(200), doc="what people call it; null: not announced"),
    Column("owner", String(200), doc="who answers for it"),
    Column("url", String(500), doc="where it is described or runs"),
    Column("kind", String(100), doc="such as search, or similar items"),
    Column("runbook", String(500), doc="what to do when it fails, as an address"),
    Column("announced_at", UtcDateTime, doc="when it was announced; null: it only reported"),
    Column("seen_at", UtcDateTime, nullable=False, doc="when anything was reported last, by our clock"),
    Column("version", String(200), doc="the version of the newest health report"),
    Column("p99_seconds", Float, doc="the duration that 1 % of its answers exceed, in that report"),
    Column("health_at", UtcDateTime, doc="the end of the time that the newest health report is about"),
    Column("answers", BigInteger, nullable=False, default=0, doc="lists that it reported"),
    Column("bad", BigInteger, nullable=False, default=0, doc="those that were not the model's"),
    Column("empty", BigInteger, nullable=False, default=0, doc="those without items"),
)

reported_health = Table(
    "reported_health",
    metadata,
    Column("model", String(100), primary_key=True, doc="the model's name"),
    Column("version", String(200), primary_key=True, doc="its version"),
    Column("at", UtcDateTime, primary_key=True, doc="end of the time that the report is about"),
    Column("answers", BigInteger, nullable=False, doc="lists since the report before"),
    Column("bad", BigInteger, nullable=False, doc="those that were not the model's"),
    Column("empty", BigInteger, nullable=False, doc="those without items"),
    Column("p99_seconds", Float, doc="the duration that 1 % of them exceed; null: not measured"),
    Column("received_at", UtcDateTime, nullable=False, doc="when it came, by our clock"),
)

reported_files = Table(
    "reported_files",
    metadata,
    Column("source", String(100), primary_key=True, doc="the folder that it was in"),
    Column("digest", String(64), primary_key=True, doc="SHA-256 of its content"),
    Column("name", String(255), nullable=False, doc="its name"),
    Column("rows", BigInteger, nullable=False, doc="rows that were taken over"),
    Column("taken_at", UtcDateTime, nullable=False, doc="when the last ones were"),
)

report_counts = Table(
    "report_counts",
    metadata,
    Column("source", String(100), primary_key=True, doc="who reported"),
    Column("model", String(100), primary_key=True, doc="the model; empty: the row names none"),
    Column("kind", String(20), primary_key=True, doc="measurements, impressions, feedback or health"),
    Column("day", Date, primary_key=True, doc="the day in UTC on which they came"),
    Column("accepted", BigInteger, nullable=False, doc="rows that were accepted"),
    Column("rejected", BigInteger, nullable=False, doc="rows that were refused"),
    Index(None, "day"),
)

in_measurements = Table(
    "in_measurements",
    metadata,
    *_inserted(
        Column("model", Text, doc="as in POST /api/v1/measurements, and so are the others"),
        Column("version", Text, doc="its version"),
        Column("metric", Text, doc="a metric's name, or one that begins with x_"),
        Column("unit", Text, doc="unit of the value"),
        Column("window_start", Text, doc="ISO 8601 with a time zone"),
        Column("window_end", Text, doc="ISO 8601 with a time zone"),
        Column("value", Float, doc="the figure; of an event: how much it was"),
        Column("low", Float, doc="lower end of its 95 % interval"),
        Column("high", Float, doc="upper end of its 95 % interval"),
        Column("n", BigInteger, doc="users behind it"),
        Column("experiment", Text, doc="the experiment that assigned a variant"),
        Column("variant", Text, doc="the variant"),
        Column("slice", Text, doc="such as country=FR"),
    ),
)

in_requests = Table(
    "in_requests",
    metadata,
    *_inserted(
        Column("request_id", Text, doc="as in POST /api/v1/impressions, and so are the others"),
        Column("occurred_at", Text, doc="ISO 8601 with a time zone"),
        Column("user_id", Text, doc="the user"),
        Column("model", Text, doc="the model's name"),
        Column("version", Text, doc="its version"),
        Column("item_ids", Text, doc="a JSON array of texts"),
        Column("scores", Text, doc="a JSON array of numbers"),
        Column("propensities", Text, doc="a JSON array of numbers"),
        Column("k", BigInteger, doc="how many items were asked for"),
        Column("latency_ms", Float, doc="milliseconds to the answer"),
        Column("fallback", Text, doc="why it was not the model's list; null: it was"),
        Column("experiment", Text, doc="the experiment that assigned a variant"),
        Column("variant", Text, doc="the variant"),
    ),
)

in_feedback = Table(
    "in_feedback",
    metadata,
    *_inserted(
        Column("event_id", Text, doc="as in POST /api/v1/feedback, and so are the others"),
        Column("event_type", Text, doc="such as click"),
        Column("item_id", Text, doc="the item"),
        Column("user_id", Text, doc="the user"),
        Column("request_id", Text, doc="the list that showed it, if one did"),
        Column("value", Float, doc="the figure; of an event: how much it was"),
        Column("occurred_at", Text, doc="ISO 8601 with a time zone"),
        Column("position", BigInteger, doc="its position in that list, from 0"),
    ),
)

in_rejected = Table(
    "in_rejected",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("source", String(100), nullable=False, doc="who reported the row"),
    Column("kind", String(20), nullable=False, doc="measurements, impressions, feedback or health"),
    Column("origin", String(300), nullable=False, doc="http, sql, or the name of a file"),
    Column("number", BigInteger, nullable=False, doc="the row's place in the body or file, from 0; its id"),
    Column("field", Text, doc="the field at fault; null: the whole row"),
    Column("reason", Text, nullable=False, doc="why it was refused"),
    Column("content", Text, nullable=False, doc="the row as JSON, or its beginning"),
    Column("rejected_at", UtcDateTime, nullable=False, doc="when it was refused"),
    Index(None, "source", "id"),
    Index(None, "rejected_at"),
)
