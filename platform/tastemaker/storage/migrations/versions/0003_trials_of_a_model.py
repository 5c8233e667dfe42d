"""Backtests that are not a model's own figure, the spread over seeds, and how fast models go stale."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_UTC_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Every backtest until now was a model's own figure."""
    op.add_column("backtests", sa.Column("listed_at", _UTC_TIME))
    op.execute("UPDATE backtests SET listed_at = created_at")
    op.create_table(
        "seed_spreads",
        sa.Column("backtest_id", sa.String(64), nullable=False),
        sa.Column("seeds", sa.JSON, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("created_at", _UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("backtest_id", name="pk_seed_spreads"),
        sa.ForeignKeyConstraint(["backtest_id"], ["backtests.id"], name="fk_seed_spreads_backtest_id"),
    )
    op.create_table(
        "stalenesses",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("data_hash", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(50), nullable=False),
        sa.Column("trained_until", _UTC_TIME, nullable=False),
        sa.Column("fresh", sa.JSON, nullable=False),
        sa.Column("loss_per_week", sa.JSON, nullable=False),
        sa.Column("weeks", sa.JSON, nullable=False),
        sa.Column("created_at", _UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stalenesses"),
    )
    op.create_index(
        "ix_stalenesses_problem_model_created_at", "stalenesses", ["problem", "model", "created_at"]
    )
