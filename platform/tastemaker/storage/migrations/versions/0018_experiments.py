"""Experiments: plans, changes, looks, guardrails and forecasts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "namespaces",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("unit", sa.String(10), nullable=False),
        sa.Column("salt", sa.String(100), nullable=False),
        sa.Column("cool_down_seconds", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_namespaces"),
        sa.UniqueConstraint("salt", name="uq_namespaces_salt"),
    )
    op.create_table(
        "holdouts",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("unit", sa.String(10), nullable=False),
        sa.Column("salt", sa.String(100), nullable=False),
        sa.Column("share", sa.Integer, nullable=False),
        sa.Column("namespaces", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name="pk_holdouts"),
        sa.UniqueConstraint("salt", name="uq_holdouts_salt"),
    )
    op.create_table(
        "experiments",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("namespace", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("salt", sa.String(100), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("enrolment", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("changes", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["namespace"], ["namespaces.name"], name="fk_experiments_namespace"),
        sa.PrimaryKeyConstraint("name", name="pk_experiments"),
        sa.UniqueConstraint("salt", name="uq_experiments_salt"),
    )
    op.create_index("ix_experiments_state", "experiments", ["state"])
    op.create_table(
        "experiment_plans",
        sa.Column("experiment", sa.String(100), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("design", sa.JSON, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_experiment_plans_experiment"),
        sa.PrimaryKeyConstraint("experiment", "revision", name="pk_experiment_plans"),
    )
    op.create_table(
        "namespace_claims",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("namespace", sa.String(100), nullable=False),
        sa.Column("experiment", sa.String(100), nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("end", sa.Integer, nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True)),
        sa.Column("free_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_namespace_claims_experiment"),
        sa.ForeignKeyConstraint(["namespace"], ["namespaces.name"], name="fk_namespace_claims_namespace"),
        sa.PrimaryKeyConstraint("id", name="pk_namespace_claims"),
    )
    op.create_index("ix_namespace_claims_namespace", "namespace_claims", ["namespace"])
    op.create_table(
        "experiment_changes",
        sa.Column("experiment", sa.String(100), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(30), nullable=False),
        sa.Column("from_state", sa.String(20)),
        sa.Column("to_state", sa.String(20), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("enrolment", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("previous_digest", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiments.name"], name="fk_experiment_changes_experiment"
        ),
        sa.PrimaryKeyConstraint("experiment", "number", name="pk_experiment_changes"),
    )
    op.create_table(
        "looks",
        sa.Column("experiment", sa.String(100), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("log_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_planned", sa.Boolean, nullable=False),
        sa.Column("units", sa.JSON, nullable=False),
        sa.Column("pending_units", sa.BigInteger, nullable=False),
        sa.Column("crossed_units", sa.BigInteger, nullable=False),
        sa.Column("information", sa.Float, nullable=False),
        sa.Column("alpha_spent", sa.Float, nullable=False),
        sa.Column("bound", sa.Float),
        sa.Column("ratio_p", sa.Float),
        sa.Column("ratio_anytime_p", sa.Float),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_looks_experiment"),
        sa.PrimaryKeyConstraint("experiment", "epoch", "number", name="pk_looks"),
    )
    op.create_table(
        "look_effects",
        sa.Column("experiment", sa.String(100), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("metric", sa.String(100), nullable=False),
        sa.Column("variant", sa.String(100), nullable=False),
        sa.Column("slice", sa.String(200), nullable=False),
        sa.Column("is_adjusted", sa.Boolean, nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("unit", sa.String(50), nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("control_units", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("control_value", sa.Float),
        sa.Column("difference", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("relative", sa.Float),
        sa.Column("relative_low", sa.Float),
        sa.Column("relative_high", sa.Float),
        sa.Column("p", sa.Float),
        sa.Column("p_adjusted", sa.Float),
        sa.Column("sequence_low", sa.Float),
        sa.Column("sequence_high", sa.Float),
        sa.Column("verdict", sa.String(20)),
        sa.ForeignKeyConstraint(
            ["experiment", "epoch", "number"],
            ["looks.experiment", "looks.epoch", "looks.number"],
            name="fk_look_effects_looks",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "experiment",
            "epoch",
            "number",
            "metric",
            "variant",
            "slice",
            "is_adjusted",
            name="pk_look_effects",
        ),
    )
    op.create_table(
        "guardrail_checks",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("experiment", sa.String(100), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("variant", sa.String(100), nullable=False),
        sa.Column("guardrail", sa.String(100), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("control_units", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("control_value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("margin", sa.Float, nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.name"], name="fk_guardrail_checks_experiment"),
        sa.PrimaryKeyConstraint("id", name="pk_guardrail_checks"),
    )
    op.create_index(
        "ix_guardrail_checks_experiment_epoch_at", "guardrail_checks", ["experiment", "epoch", "at"]
    )
    op.create_table(
        "experiment_forecasts",
        sa.Column("experiment", sa.String(100), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("variant", sa.String(100), nullable=False),
        sa.Column("method", sa.String(20), nullable=False),
        sa.Column("metric", sa.String(100), nullable=False),
        sa.Column("forecast", sa.Float, nullable=False),
        sa.Column("forecast_error", sa.Float, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Float),
        sa.Column("outcome_error", sa.Float),
        sa.Column("look", sa.Integer),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiments.name"], name="fk_experiment_forecasts_experiment"
        ),
        sa.PrimaryKeyConstraint("experiment", "epoch", "variant", "method", name="pk_experiment_forecasts"),
    )
