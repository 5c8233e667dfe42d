"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_UTC_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them all."""
    op.create_table(
        "ingested_days",
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("rows_accepted", sa.BigInteger, nullable=False),
        sa.Column("rows_quarantined", sa.JSON, nullable=False),
        sa.Column("ingested_at", _UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("source", "day", name="pk_ingested_days"),
    )
    op.create_table(
        "backtests",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("data_hash", sa.String(64), nullable=False),
        sa.Column("train_start", _UTC_TIME),
        sa.Column("train_end", _UTC_TIME, nullable=False),
        sa.Column("test_end", _UTC_TIME, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("users_path", sa.Text, nullable=False),
        sa.Column("users", sa.Integer, nullable=False),
        sa.Column("train_seconds", sa.Float, nullable=False),
        sa.Column("score_seconds", sa.Float, nullable=False),
        sa.Column("artifact_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", _UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backtests"),
    )
    op.create_index("ix_backtests_problem_created_at", "backtests", ["problem", "created_at"])
    op.create_table(
        "versions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("backtest_id", sa.String(64)),
        sa.Column("created_at", _UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.ForeignKeyConstraint(["backtest_id"], ["backtests.id"], name="fk_versions_backtest_id"),
    )
    op.create_index("ix_versions_model_created_at", "versions", ["model", "created_at"])
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("version_id", sa.String(64), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", _UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_promotions_version_id"),
    )
    op.create_index("ix_promotions_problem_at", "promotions", ["problem", "at"])
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(50), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("version_id", sa.String(64)),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("window_start", _UTC_TIME),
        sa.Column("window_end", _UTC_TIME),
        sa.Column("created_at", _UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_reports_version_id"),
    )
    op.create_index("ix_reports_kind_created_at", "reports", ["kind", "created_at"])
