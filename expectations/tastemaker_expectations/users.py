"""What a sound user is."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from tastemaker.data.gate import Rule
from tastemaker_expectations.ids import id_checks
from tastemaker_expectations.suite import Check, Measures, Suite, flag, length


def suite() -> Suite:
    """Its id, once."""
    from great_expectations import expectations as gxe

    repeated = Rule(
        "user_id_repeated",
        "The user_id stands in an earlier row; the first row counts.",
        "Keep one row a user at the source: the current one.",
    )
    once = gxe.ExpectColumnValuesToBeInSet(column="user_id_was_seen", value_set=[False])
    return Suite((*id_checks("user_id"), Check(repeated, once)), measure)


def measure(chunk: pa.Table, now: datetime) -> Measures:
    """The columns that the checks look at."""
    return {
        "user_id_bytes": length(chunk.column("user_id")),
        "user_id_was_seen": flag(chunk, "user_id_was_seen"),
    }
