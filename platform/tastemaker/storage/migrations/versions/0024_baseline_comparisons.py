"""Comparisons of the champion's recipe with the baseline."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "baseline_comparisons",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("backtest_id", sa.String(64), nullable=False),
        sa.Column("baseline", sa.String(100), nullable=False),
        sa.Column("metric", sa.String(50), nullable=False),
        sa.Column("difference", sa.Float, nullable=False),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("p", sa.Float, nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_baseline_comparisons"),
        sa.ForeignKeyConstraint(
            ["backtest_id"], ["backtests.id"], name="fk_baseline_comparisons_backtest_id"
        ),
    )
    op.create_index("ix_baseline_comparisons_problem_id", "baseline_comparisons", ["problem", "id"])
