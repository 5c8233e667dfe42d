"""The canonical tables: name, type and meaning of every column.

A source maps its rows to these; validation checks them; the lake stores them; features read them.
"""

from __future__ import annotations

import pyarrow as pa

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")  # Feast's point-in-time joins need microseconds

OWN = "own"
"""The column of items and of users that holds custom columns. SQL reads one as own['segment']."""


def _field(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def _assignment() -> list[pa.Field]:
    """Return the columns of an experiment's assignment; all are null where there was none."""
    return [
        _field("experiment", pa.string(), "id of the experiment that assigned a variant", nullable=True),
        _field("epoch", pa.int64(), "rises when the experiment's ratios change", nullable=True),
        _field("variant", pa.string(), "the variant that was assigned", nullable=True),
        _field(
            "variant_probability",
            pa.float64(),
            "probability of that assignment, in (0, 1]; null if it was forced",
            nullable=True,
        ),
        _field(
            "variant_served",
            pa.string(),
            "the variant whose service answered; null for a list of no variant",
            nullable=True,
        ),
        _field(
            "plan_digest",
            pa.string(),
            "the first 16 hexadecimal digits of the SHA-256 of the plan in force",
            nullable=True,
        ),
        _field("unit", pa.string(), "what was assigned: a user, device, session or request", nullable=True),
    ]


def _own(setting: str, use: str) -> pa.Field:
    meaning = f"the shop's own columns that source.{setting} names, as text; {use}"
    return _field(OWN, pa.map_(pa.string(), pa.string()), meaning, nullable=True)


ASSIGNMENT = pa.schema(_assignment())
"""Columns of the tables whose rows are requests or impressions."""

EVENTS = pa.schema(
    [
        _field("event_id", pa.string(), "unique; a repeated id is the same event reported again"),
        _field("user_id", pa.string(), "who; any Unicode text of 1 to 200 bytes"),
        _field("item_id", pa.string(), "what; any Unicode text of 1 to 200 bytes"),
        _field(
            "event_type", pa.string(), "purchase, click, view, ...; the problem file gives each its weight"
        ),
        _field(
            "value",
            pa.float64(),
            "how much: money in the shop's currency for a purchase, 1 where nothing else fits",
        ),
        _field("occurred_at", UTC_MICROSECONDS, "when it happened"),
        _field(
            "request_id", pa.string(), "the recommendation request that caused it, if one did", nullable=True
        ),
        _field("position", pa.int32(), "the item's position in that recommendation, from 0", nullable=True),
    ]
)

ITEMS = pa.schema(
    [
        _field("item_id", pa.string(), "as in events"),
        _field("title", pa.string(), "what people call it", nullable=True),
        _field("category", pa.string(), "the shop's own grouping", nullable=True),
        _field("price", pa.float64(), "latest usual price in the shop's currency", nullable=True),
        _field("first_seen_at", UTC_MICROSECONDS, "when it was first offered or first bought"),
        _own("item_columns", "for models that read content"),
    ]
)

USERS = pa.schema(
    [
        _field("user_id", pa.string(), "as in events"),
        _field("country", pa.string(), "where the user is", nullable=True),
        _field("first_seen_at", UTC_MICROSECONDS, "the first event or the sign-up"),
        _own("user_columns", "for slices, and for models that read them"),
    ]
)

QUARANTINE = pa.schema(
    [
        _field("source", pa.string(), "which source the row came from"),
        _field("table", pa.string(), "the table that it was meant for: events, items or users"),
        _field(
            "day",
            pa.date32(),
            "the day that the row was read for; null where its time can't be read",
            nullable=True,
        ),
        _field("rule", pa.string(), "the first rule that it failed"),
        _field("failed_rules", pa.list_(pa.string()), "every rule that it failed, in the suite's order"),
        _field("raw", pa.string(), "the row as it came, as JSON"),
    ]
)

REQUESTS = pa.schema(
    [
        _field("request_id", pa.string(), "unique; the events that the answer caused carry it"),
        _field("occurred_at", UTC_MICROSECONDS, "when it was asked"),
        _field("user_id", pa.string(), "who asked; may be a user that no event knows"),
        _field("k", pa.int32(), "how many items were asked for"),
        _field("context", pa.string(), "the request's context, as the caller gave it, JSON", nullable=True),
        _field("exclude", pa.list_(pa.string()), "items that the caller did not want", nullable=True),
        _field("candidates", pa.list_(pa.string()), "the only items that the caller wanted", nullable=True),
        _field("features", pa.string(), "the user features that the model was given, JSON", nullable=True),
        _field("model", pa.string(), "the plugin's name"),
        _field("version", pa.string(), "the model version's id"),
        _field("item_ids", pa.list_(pa.string()), "what was shown, best first"),
        _field("scores", pa.list_(pa.float32()), "the model's score of each item"),
        _field("propensities", pa.list_(pa.float32()), "probability of each item at its position"),
        _field("fallback", pa.string(), "why popular items filled (part of) the list", nullable=True),
        _field(
            "latency_ms",
            pa.float32(),
            "from the request's body to its answer, milliseconds; null if a foreign model did not report it",
            nullable=True,
        ),
        _field("stage", pa.string(), "what the list begins with: model, popular, ...", nullable=True),
        _field("kind", pa.string(), "what was asked: recommend, session, rank", nullable=True),
        _field("session", pa.list_(pa.string()), "an anonymous user's items, oldest first", nullable=True),
        _field("diversity", pa.float32(), "λ of the reordering for diversity, 0 to 1", nullable=True),
        *ASSIGNMENT,
        _field(
            "teams",
            pa.list_(pa.string()),
            "the variant that placed each item of an interleaved list; empty for none",
            nullable=True,
        ),
    ]
)

SHADOW_ANSWERS = pa.schema(
    [*REQUESTS, _field("shadow_of", pa.string(), "the request whose answer the user saw")]
)
"""Answers to copies of requests. No user saw them: they are never credited and never learned from."""

EXPOSURES = pa.schema(
    [
        _field("exposure_id", pa.string(), "unique; of repeated reports of an exposure, the first counts"),
        _field("occurred_at", UTC_MICROSECONDS, "when it happened, by the caller's clock"),
        _field("received_at", UTC_MICROSECONDS, "when it came, by our clock"),
        _field("experiment", pa.string(), "the experiment"),
        _field("epoch", pa.int64(), "as in requests"),
        _field("variant", pa.string(), "the variant that the unit was assigned to, and saw"),
        _field("variant_probability", pa.float64(), "as in requests", nullable=True),
        _field("plan_digest", pa.string(), "as in requests", nullable=True),
        _field("unit", pa.string(), "what was assigned: a user, device, session or request"),
        _field("user_id", pa.string(), "the user; null where it is not known", nullable=True),
    ]
)

FEEDBACK = pa.schema(
    [
        _field("event_id", pa.string(), "unique; of repeated reports of an event, the first counts"),
        _field("user_id", pa.string(), "who, as the caller says; if null, the request's user", nullable=True),
        _field("item_id", pa.string(), "what"),
        _field("event_type", pa.string(), "as in events"),
        _field("value", pa.float64(), "as in events"),
        _field("occurred_at", UTC_MICROSECONDS, "when it happened, by the caller's clock"),
        _field("received_at", UTC_MICROSECONDS, "when it came, by our clock"),
        _field(
            "request_id", pa.string(), "the request that showed the item, if one was named", nullable=True
        ),
        _field("position", pa.int32(), "the item's reported position in that list, from 0", nullable=True),
    ]
)

ITEM_CHANGES = pa.schema(
    [
        _field("item_id", pa.string(), "which item"),
        _field("received_at", UTC_MICROSECONDS, "since when it is so, by our clock"),
        _field("title", pa.string(), "as in items", nullable=True),
        _field("category", pa.string(), "as in items", nullable=True),
        _field("price", pa.float64(), "as in items", nullable=True),
        _field("available", pa.bool_(), "whether it may be shown"),
    ]
)

HISTORY = "item_history"
"""Name of the table of the states that callers reported of items that no source has, as in ITEM_CHANGES."""

USER_CHANGES = pa.schema(
    [
        _field("user_id", pa.string(), "which user"),
        _field("received_at", UTC_MICROSECONDS, "since when it is so, by our clock"),
        _field("country", pa.string(), "as in users", nullable=True),
        _field("blocked_items", pa.list_(pa.string()), "what this user is never to be shown", nullable=True),
    ]
)

MAX_ID_BYTES = 200
MAX_OWN_BYTES = {"items": 1 << 16, "users": 200}
"""The longest value of a custom column, UTF-8. Those of items may be a description, or an embedding."""


def nullable(schema: pa.Schema) -> pa.Schema:
    """Return the same columns, all nullable: the schema of rows before validation."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def completed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add nullable columns that rows lack: files of an earlier release lack those added since.

    Args:
        rows: Any rows of the table.
        schema: The table's columns. A column that is not nullable is never added.

    Returns:
        The rows with the added columns last, all null; other columns are left as they are.
    """
    for field in schema:
        if field.nullable and field.name not in rows.column_names:
            rows = rows.append_column(field.name, pa.nulls(len(rows), field.type))
    return rows
