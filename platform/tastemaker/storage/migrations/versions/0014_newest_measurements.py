"""An index that leads to the newest complete window of a source's metric."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "ix_measurements_source_metric",
        "measurements",
        ["source", "metric", "is_complete", "window_end", "window_start"],
    )
