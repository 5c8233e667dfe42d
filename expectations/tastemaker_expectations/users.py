"""What a sound user is."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.gate import Rule
from tastemaker.data.tables import MAX_OWN_BYTES, OWN
from tastemaker_expectations.ids import form_checks, id_checks, id_measures
from tastemaker_expectations.suite import Check, Measures, Suite, always, between, flag

_TEXTS = pa.struct([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string())])


def suite() -> Suite:
    """Its id, once, and values of the shop's own columns that can name a group."""
    repeated = Rule(
        "user_id_repeated",
        "The user_id stands in an earlier row; the first row counts.",
        "Keep one row a user at the source: the current one.",
    )
    once = always("user_id_was_seen", False)
    long = Rule(
        "own_column_too_long",
        f"A value of one of the shop's own columns is longer than {MAX_OWN_BYTES} bytes in UTF-8.",
        "Shorten it at the source, or leave the column out of source.user_columns in tastemaker.toml.",
    )
    short = between("own_column_bytes", high=MAX_OWN_BYTES)
    return Suite((*id_checks("user_id"), *form_checks(), Check(repeated, once), Check(long, short)), measure)


def measure(chunk: pa.Table, now: datetime) -> Measures:
    """The columns that the checks look at."""
    return {
        **id_measures(chunk, "user_id"),
        "user_id_was_seen": flag(chunk, "user_id_was_seen"),
        "own_column_bytes": _longest(chunk.column(OWN)),
    }


def _longest(own: pa.ChunkedArray) -> pa.ChunkedArray:
    """int64[rows]: the bytes of each row's longest value, 0 where it has none."""
    entries = own.combine_chunks().cast(pa.list_(_TEXTS))
    sizes = pc.fill_null(pc.binary_length(pc.struct_field(pc.list_flatten(entries), "value")), 0)
    longest = np.zeros(len(own), np.int64)
    np.maximum.at(longest, pc.list_parent_indices(entries).to_numpy(), sizes.to_numpy())
    return pa.chunked_array([longest])
