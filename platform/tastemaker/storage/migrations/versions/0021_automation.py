"""Trainings with their reasons, requests for trainings, and rollouts of versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "trainings",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("version_id", sa.String(64)),
        sa.Column("problem_text", sa.Text),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("seconds", sa.Float),
        sa.Column("cpu_seconds", sa.Float),
        sa.Column("peak_bytes", sa.BigInteger),
        sa.Column("estimated_bytes", sa.BigInteger),
        sa.Column("limit_bytes", sa.BigInteger),
        sa.Column("events", sa.BigInteger),
        sa.Column("recipe", sa.String(32)),
        sa.PrimaryKeyConstraint("run_id", "model", name="pk_trainings"),
    )
    op.create_index("ix_trainings_problem_model_started_at", "trainings", ["problem", "model", "started_at"])
    op.create_table(
        "training_requests",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("models", sa.JSON, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("run_id", sa.String(64)),
        sa.Column("problem_text", sa.Text),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_training_requests"),
    )
    op.create_index("ix_training_requests_state_requested_at", "training_requests", ["state", "requested_at"])
    op.create_table(
        "retraining_decisions",
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("decision", sa.String(20), nullable=False),
        sa.Column("conditions", sa.JSON, nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("problem", "model", name="pk_retraining_decisions"),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("version_id", sa.String(64), nullable=False),
        sa.Column("champion_id", sa.String(64)),
        sa.Column("path", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("advice", sa.JSON, nullable=False),
        sa.Column("experiment", sa.String(100)),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
        sa.ForeignKeyConstraint(["champion_id"], ["versions.id"], name="fk_rollouts_champion_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_rollouts_version_id"),
    )
    op.create_index("ix_rollouts_problem_started_at", "rollouts", ["problem", "started_at"])
    op.create_table(
        "rollout_changes",
        sa.Column("id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("rollout_id", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollout_changes"),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name="fk_rollout_changes_rollout_id"),
    )
    op.create_index("ix_rollout_changes_rollout_id_id", "rollout_changes", ["rollout_id", "id"])
