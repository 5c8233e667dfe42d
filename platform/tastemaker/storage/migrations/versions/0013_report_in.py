"""What foreign models report, and the tables that others insert into."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TEXTS = {
    "in_measurements": "model version metric unit window_start window_end experiment variant slice",
    "in_requests": (
        "request_id occurred_at user_id model version item_ids scores propensities fallback "
        "experiment variant"
    ),
    "in_feedback": "event_id event_type item_id user_id request_id occurred_at",
}
_FLOATS = {"in_measurements": "value low high", "in_requests": "latency_ms", "in_feedback": "value"}
_WHOLE = {"in_measurements": "n", "in_requests": "k", "in_feedback": "position"}


def upgrade() -> None:
    """Create the tables."""
    _reports()
    for table in _TEXTS:
        _inserted(table)
    op.create_table(
        "in_rejected",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("origin", sa.String(300), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("field", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_in_rejected"),
    )
    op.create_index("ix_in_rejected_source_id", "in_rejected", ["source", "id"])
    op.create_index("ix_in_rejected_rejected_at", "in_rejected", ["rejected_at"])


def _inserted(table: str) -> None:
    """Create a table whose rows get the name of the database's user as their source."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"  # which has no users
    user = sa.text("'sql'" if is_sqlite else "SESSION_USER")
    op.create_table(
        table,
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(100), nullable=False, server_default=user),
        *(sa.Column(name, sa.Text) for name in _TEXTS[table].split()),
        *(sa.Column(name, sa.Float) for name in _FLOATS[table].split()),
        *(sa.Column(name, sa.BigInteger) for name in _WHOLE[table].split()),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )


def _reports() -> None:
    op.create_table(
        "reported_models",
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("title", sa.String(200)),
        sa.Column("owner", sa.String(200)),
        sa.Column("url", sa.String(500)),
        sa.Column("kind", sa.String(100)),
        sa.Column("runbook", sa.String(500)),
        sa.Column("announced_at", sa.DateTime(timezone=True)),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.String(200)),
        sa.Column("p99_seconds", sa.Float),
        sa.Column("health_at", sa.DateTime(timezone=True)),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.Column("bad", sa.BigInteger, nullable=False),
        sa.Column("empty", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_reported_models"),
    )
    op.create_table(
        "reported_health",
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.Column("bad", sa.BigInteger, nullable=False),
        sa.Column("empty", sa.BigInteger, nullable=False),
        sa.Column("p99_seconds", sa.Float),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "at", name="pk_reported_health"),
    )
    op.create_table(
        "reported_files",
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "digest", name="pk_reported_files"),
    )
    op.create_table(
        "report_counts",
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("accepted", sa.BigInteger, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "model", "kind", "day", name="pk_report_counts"),
    )
