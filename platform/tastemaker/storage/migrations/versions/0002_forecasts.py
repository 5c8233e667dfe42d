"""Forecasts of what a version would earn, from the request log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_UTC_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "forecasts",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("version_id", sa.String(64), nullable=False),
        sa.Column("against_id", sa.String(64)),
        sa.Column("estimator", sa.String(50), nullable=False),
        sa.Column("estimates", sa.JSON, nullable=False),
        sa.Column("uplift", sa.JSON, nullable=False),
        sa.Column("diagnostics", sa.JSON, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("window_start", _UTC_TIME, nullable=False),
        sa.Column("window_end", _UTC_TIME, nullable=False),
        sa.Column("created_at", _UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forecasts"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_forecasts_version_id"),
        sa.ForeignKeyConstraint(["against_id"], ["versions.id"], name="fk_forecasts_against_id"),
    )
    op.create_index("ix_forecasts_version_id_created_at", "forecasts", ["version_id", "created_at"])
