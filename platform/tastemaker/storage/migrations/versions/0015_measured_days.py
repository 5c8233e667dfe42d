"""Days that measurements were computed from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "measured_days",
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("part", sa.String(20), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("problem", "part", "day", name="pk_measured_days"),
    )
