"""Distributions of the columns of two tables: quantiles of numbers, shares of labels, missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.monitoring.traffic import LABELS, NUMBERS

SIDES = ("learned", "shown")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST = 12
"""Number of labels per column that are listed, the most frequent of both sides; the rest are one entry."""
OTHERS = "all others"


def described(learned: pa.Table, shown: pa.Table) -> dict[str, Any]:
    """Return the distributions of two tables with the columns of `traffic`, in types that JSON has.

    Args:
        learned: The training events.
        shown: The items shown.

    Returns:
        By column and side: `rows`, `missing` (NULL, NaN and infinite), for numbers `quantiles` (None where
        all values are missing), for labels `shares` by label.
    """
    sides = dict(zip(SIDES, (learned, shown), strict=True))
    numbers = {name: {side: _number(table[name]) for side, table in sides.items()} for name in NUMBERS}
    return numbers | {name: _labels({side: table[name] for side, table in sides.items()}) for name in LABELS}


def is_empty(column: dict[str, Any]) -> bool:
    """Return whether a side of a described column has no value."""
    return any(column[side]["missing"] == column[side]["rows"] for side in SIDES)


def finite(table: pa.Table) -> pa.Table:
    """Return a table with NULL for numbers that are NaN or infinite."""
    arrays = [
        _finite(column) if pa.types.is_floating(column.type) else column for column in table.itercolumns()
    ]
    return pa.table(arrays, names=table.column_names)


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_finite(column), column, None)


def _number(column: pa.ChunkedArray) -> dict[str, Any]:
    values = _finite(column.cast(pa.float64())).drop_null().to_numpy()
    quantiles = np.quantile(values, QUANTILES).tolist() if len(values) else None
    return {"rows": len(column), "missing": len(column) - len(values), "quantiles": quantiles}


def _labels(columns: dict[str, pa.ChunkedArray]) -> dict[str, Any]:
    """Return the shares of labels; both sides list the same labels, the most frequent of both first."""
    counts = {side: _counted(column) for side, column in columns.items()}
    shares = {
        side: {label: count / (sum(found.values()) or 1) for label, count in found.items()}
        for side, found in counts.items()
    }
    known = sorted({label for found in counts.values() for label in found})
    known.sort(key=lambda label: -sum(found.get(label, 0.0) for found in shares.values()))
    described = {}
    for side, found in shares.items():
        listed = {label: found.get(label, 0.0) for label in known[:MOST]}
        if known[MOST:]:
            listed[OTHERS] = sum(found.get(label, 0.0) for label in known[MOST:])
        rows = len(columns[side])
        described[side] = {"rows": rows, "missing": rows - sum(counts[side].values()), "shares": listed}
    return described


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    found = pc.value_counts(column.drop_null()).to_pylist()
    return {one["values"]: one["counts"] for one in found}
