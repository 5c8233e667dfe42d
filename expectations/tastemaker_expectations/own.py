"""What a sound value of one of the shop's own columns is, of items and of users."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.tables import MAX_OWN_BYTES, OWN
from tastemaker.data.validation.gate import ValidationRule
from tastemaker_expectations.suite import Check, Measures, between

_TEXTS = pa.struct([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string())])


def own_check(table: str) -> Check:
    """Return the check that no value of the own columns of `items` or of `users` is too long."""
    limit, setting = MAX_OWN_BYTES[table], f"source.{table.removesuffix('s')}_columns"
    rule = ValidationRule(
        "own_column_too_long",
        f"A value of one of the shop's own columns of {table} is longer than {limit:,} bytes in UTF-8.",
        f"Shorten it at the source, or leave the column out of {setting} in tastemaker.toml.",
    )
    return Check(rule, between("own_column_bytes", high=limit))


def own_measures(chunk: pa.Table) -> Measures:
    """Return the measure of `own_check`: the bytes of each row's longest value in its own columns."""
    return {"own_column_bytes": _longest(chunk.column(OWN))}


def _longest(own: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return int64[rows]: the bytes of each row's longest value, 0 where it has none."""
    entries = own.combine_chunks().cast(pa.list_(_TEXTS))
    sizes = pc.fill_null(pc.binary_length(pc.struct_field(pc.list_flatten(entries), "value")), 0)
    longest = np.zeros(len(own), np.int64)
    np.maximum.at(longest, pc.list_parent_indices(entries).to_numpy(), sizes.to_numpy())
    return pa.chunked_array([longest])
