"""The log where many services' spools come together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "log_records",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_log_records"),
        sa.UniqueConstraint("kind", "key", name="uq_log_records_kind_key"),
    )
    op.create_index("ix_log_records_user_id", "log_records", ["user_id"])
    op.create_index("ix_log_records_at", "log_records", ["at"])
