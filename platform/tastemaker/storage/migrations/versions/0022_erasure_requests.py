"""Requests to erase a user."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "erasure_requests",
        sa.Column("number", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("requested_by", sa.String(200), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(200)),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decision", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True)),
        sa.Column("problem_text", sa.Text),
        sa.Column("remains", sa.JSON, nullable=False),
        sa.Column("erased_places", sa.Integer, nullable=False),
        sa.Column("searched_places", sa.Integer),
        sa.Column("looked_at", sa.BigInteger),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("number", name="pk_erasure_requests"),
    )
    op.create_index("ix_erasure_requests_state_due_at", "erasure_requests", ["state", "due_at"])
