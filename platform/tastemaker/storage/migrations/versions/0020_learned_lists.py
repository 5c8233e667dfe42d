"""Lists that the versions of an experiment's variants learned from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

KEY = ("experiment", "epoch", "variant", "learned_in", "from_version", "from_variant")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "learned_lists",
        sa.Column("experiment", sa.String(100), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("variant", sa.String(100), nullable=False),
        sa.Column("learned_in", sa.String(10), nullable=False),
        sa.Column("from_version", sa.String(200), nullable=False),
        sa.Column("from_variant", sa.String(100), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("lists", sa.BigInteger, nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name="pk_learned_lists"),
        sa.ForeignKeyConstraint(
            ["experiment"], ["experiments.name"], name="fk_learned_lists_experiment_experiments"
        ),
    )
