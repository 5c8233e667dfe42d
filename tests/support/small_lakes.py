"""A lake of a few rows written by hand, and a problem for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, ITEMS
from tastemaker.problem import ProblemSpec

DAY = 86_400
START = 1_700_006_400  # a midnight, UTC


class Row(NamedTuple):
    user: str
    item: str
    seconds: int
    type: str = "purchase"
    value: float = 1.0


def make_lake(root: Path, rows: Sequence[Row], items: Sequence[dict[str, Any]] = ()) -> Lake:
    """A lake with these events, times counted from START."""
    lake = Lake(root)
    columns = {
        "event_id": [f"e{n}" for n in range(len(rows))],
        "user_id": [row.user for row in rows],
        "item_id": [row.item for row in rows],
        "event_type": [row.type for row in rows],
        "value": [row.value for row in rows],
        "occurred_at": [datetime.fromtimestamp(START + row.seconds, UTC) for row in rows],
        "request_id": [None] * len(rows),
        "position": [None] * len(rows),
    }
    if rows:
        lake.write("events", pa.table(columns, schema=EVENTS))
    if items:
        blank = {"title": None, "category": None, "price": None}
        lake.write("items", pa.Table.from_pylist([blank | item for item in items], schema=ITEMS))
    return lake


def make_problem(*, split: dict[str, Any] | None = None, **candidates: Any) -> ProblemSpec:
    """Purchases count by value, views count 0.5, returns -2."""
    objectives = [
        {
            "name": "revenue",
            "share": 0.5,
            "events": {"purchase": {"by_value": True}, "return": {"weight": -4}},
        },
        {"name": "engagement", "share": 0.5, "events": {"view": {"weight": 1}, "purchase": {"weight": 3}}},
    ]
    fields = {"name": "test", "objectives": objectives, "split": split or {}, "candidates": candidates}
    return ProblemSpec.model_validate(fields)
