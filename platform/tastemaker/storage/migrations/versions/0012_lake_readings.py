"""What facts need of the lake, stored by those who write it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "lake_readings",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("newest_events", sa.JSON, nullable=False),
        sa.Column("answering", sa.JSON, nullable=False),
        sa.Column("missing_features", sa.JSON, nullable=False),
        sa.Column("errors", sa.JSON, nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lake_readings"),
    )
