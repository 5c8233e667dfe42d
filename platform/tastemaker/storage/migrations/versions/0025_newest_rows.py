"""Indices that lead to the newest rows: without them pages and facts read all that a home ever wrote."""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"

_INDICES = (
    ("gate_results", ("passed", "checked_at")),
    ("ingested_days", ("source", "ingested_at")),
    ("measurements", ("model", "version", "metric", "window_end")),
    ("promotions", ("problem", "id")),
    ("report_counts", ("day",)),
    ("reports", ("created_at",)),
    ("reports", ("version_id", "kind", "created_at")),
    ("skew_checks", ("checked_at",)),
    ("trainings", ("model", "started_at")),
    ("trainings", ("started_at",)),
    ("trainings", ("version_id", "started_at")),
)


def upgrade() -> None:
    """Create the indices; that of measurements replaces one without the end of the window."""
    for table, columns in _INDICES:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
    op.drop_index("ix_measurements_model_version_metric", "measurements")
