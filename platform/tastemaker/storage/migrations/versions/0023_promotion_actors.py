"""Who promoted a version, rolled back or ended a freeze."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add the column."""
    op.add_column("promotions", sa.Column("actor", sa.String(200)))
