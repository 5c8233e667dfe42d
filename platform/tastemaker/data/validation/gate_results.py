"""Results of the gate per batch: the table `gate_results`, which alerts read."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine, insert

from tastemaker.data.validation.gate import GateCounts
from tastemaker.storage.tables import gate_results


def record_gate_result(engine: Engine, source: str, counts: GateCounts, refusal: Exception | None) -> None:
    """Store the result of a batch.

    Args:
        engine: The metadata database.
        source: The source of the batch, or `user_features` or `item_features`.
        counts: Its rows by result.
        refusal: Why it was refused; None if it was accepted.
    """
    with engine.begin() as connection:
        connection.execute(
            insert(gate_results).values(
                source=source,
                passed=refusal is None,
                reason="" if refusal is None else str(refusal),
                rows_read=counts.read,
                rows_quarantined=counts.quarantined,
                checked_at=datetime.now(UTC),
            )
        )
