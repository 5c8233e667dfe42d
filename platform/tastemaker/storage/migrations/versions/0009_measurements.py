"""Measurements of models, versions and variants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table."""
    key = {
        "source": 100,
        "problem": 200,
        "model": 100,
        "version": 200,
        "experiment": 100,
        "variant": 100,
        "slice": 200,
        "metric": 100,
    }
    op.create_table(
        "measurements",
        *(sa.Column(name, sa.String(length), nullable=False) for name, length in key.items()),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unit", sa.String(50), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("n", sa.BigInteger),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(*key, "window_start", "window_end", name="pk_measurements"),
    )
    op.create_index("ix_measurements_metric_window_end", "measurements", ["metric", "window_end"])
    op.create_index("ix_measurements_model_version_metric", "measurements", ["model", "version", "metric"])
