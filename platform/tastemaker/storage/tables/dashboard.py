"""Users of the dashboard, their sessions, and what they searched for."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from tastemaker.storage.tables.columns import UtcDateTime, metadata

dashboard_users = Table(
    "dashboard_users",
    metadata,
    Column("key", String(200), primary_key=True, doc="the name without differences of letter case"),
    Column("name", String(100), nullable=False, doc="the name as it is shown"),
    Column("password", Text, doc="scrypt: parameters, salt and hash; null: only a proxy logs the user in"),
    Column("role", String(10), nullable=False, doc="viewer, editor or admin"),
    Column("may_see_users", Boolean, nullable=False, doc="whether the user may see and search user ids"),
    Column("created_at", UtcDateTime, nullable=False, doc="when the user was added"),
)

dashboard_sessions = Table(
    "dashboard_sessions",
    metadata,
    Column("id", String(64), primary_key=True, doc="random; the signed cookie has it"),
    Column("user_key", String(200), ForeignKey("dashboard_users.key"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False, doc="when the user logged in"),
    Column("ends_at", UtcDateTime, nullable=False, doc="until when it is valid"),
    Index(None, "user_key"),
)

search_audit = Table(
    "search_audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False, doc="when the search was made"),
    Column("user_name", String(100), nullable=False, doc="who searched"),
    Column("query", Text, nullable=False, doc="the query; an erased user's ids are replaced by (erased)"),
    Column("rows", Integer, nullable=False, doc="how many requests were found"),
    Index(None, "at"),
)
