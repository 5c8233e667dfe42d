"""Weekly digests that were sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "digest_deliveries",
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("week", sa.String(10), nullable=False),
        sa.Column("channel", sa.String(50), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(10)),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("problem", "week", "channel", name="pk_digest_deliveries"),
    )
