"""What the gate found per batch is in the metadata database, where alerts read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, select

from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, nullable
from tastemaker.data.validation.gate import RowChecks, ValidationRule, partition_rows
from tastemaker.data.validation.publishing import validate_and_publish
from tastemaker.errors import GateError
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import gate_results

NEGATIVE = ValidationRule("value_negative", "The value is below 0.", "Give it a positive value.")
START = datetime(2026, 3, 1, tzinfo=UTC)


class OneRule:
    """A gate with one rule: values are not negative."""

    version = "1"

    def rules(self, table: str) -> Sequence[ValidationRule]:
        return (NEGATIVE,)

    def check(self, table: str, chunk: pa.Table) -> RowChecks:
        values = chunk["value"].to_numpy() if table == "events" else np.zeros(len(chunk))
        return partition_rows("table", table, chunk, [NEGATIVE.name], (values < 0)[:, None])


def land(lake: Lake, day: int, values: Sequence[float]) -> None:
    timestamp = START + timedelta(days=day)
    rows = [
        {
            "event_id": f"e{day}-{number}",
            "user_id": "ann",
            "item_id": "tea",
            "event_type": "view",
            "value": value,
            "occurred_at": timestamp,
        }
        for number, value in enumerate(values)
    ]
    table = pa.Table.from_pylist(rows, nullable(EVENTS))
    lake.write_day("landed_events", timestamp.date(), table, part="table")


def results(engine: Engine) -> list[dict[str, Any]]:
    query = select(gate_results).order_by(gate_results.c.id)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


@pytest.mark.slow
def test_each_batch_has_a_row_also_one_that_is_refused(tmp_path: Path) -> None:
    lake, engine = Lake(tmp_path / "lake"), open_engine(f"sqlite:///{tmp_path / 'database'}")
    before = datetime.now(UTC)
    land(lake, 0, [1.0, 2.0, -1.0])
    validate_and_publish("table", lake, OneRule(), engine)
    validate_and_publish("table", lake, OneRule(), engine)
    land(lake, 1, [1.0, -1.0, -1.0])
    with pytest.raises(GateError) as refusal:
        validate_and_publish("table", lake, OneRule(), engine)
    found = results(engine)
    assert [(row["source"], row["passed"], row["rows_read"], row["rows_quarantined"]) for row in found] == [
        ("table", True, 3, {"value_negative": 1}),
        ("table", True, 0, {}),
        ("table", False, 3, {"value_negative": 2}),
    ]
    assert [row["reason"] for row in found] == ["", "", str(refusal.value)]
    assert all(before <= row["checked_at"] <= datetime.now(UTC) for row in found)
    engine.dispose()
