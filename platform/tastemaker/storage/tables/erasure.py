"""Requests to erase a user, with their approval and their proof. No column names the user."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, String, Table, Text

from tastemaker.storage.tables.columns import UtcDateTime, metadata

erasure_requests = Table(
    "erasure_requests",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("state", String(20), nullable=False, doc="waiting, approved, done or declined"),
    Column("requested_by", String(200), nullable=False, doc="who entered the request"),
    Column("requested_at", UtcDateTime, nullable=False, doc="when it was entered"),
    Column("reason", Text, nullable=False, doc="why, or where the request is filed; it names no user"),
    Column("due_at", UtcDateTime, nullable=False, doc="the deadline"),
    Column("decided_by", String(200), doc="who approved or declined it; null: it waits"),
    Column("decided_at", UtcDateTime, doc="when it was approved or declined"),
    Column("decision", Text, doc="why it was approved or declined; it names no user"),
    Column("attempts", Integer, nullable=False, doc="how often the user was erased and searched again"),
    Column("attempted_at", UtcDateTime, doc="when the newest attempt ended"),
    Column("problem_text", Text, doc="why the newest attempt is not proved"),
    Column("remains", JSON, nullable=False, doc="a list of {place, how, found}: where the user is"),
    Column(
        "erased_places", Integer, nullable=False, doc="places that the user was erased from, in all attempts"
    ),
    Column("searched_places", Integer, doc="places of the search that found nothing any more"),
    Column("looked_at", BigInteger, doc="rows, values and bytes of that search"),
    Column("ended_at", UtcDateTime, doc="when the erasure was proved, or declined; null: it is open"),
    Index(None, "state", "due_at"),
)
