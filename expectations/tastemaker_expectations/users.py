"""What a sound user is."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from tastemaker.data.gate import Rule
from tastemaker_expectations.ids import id_checks
from tastemaker_expectations.suite import Check, Measures, Suite, always, flag, length


def suite() -> Suite:
    """Its id, once."""
    repeated = Rule(
        "user_id_repeated",
        "The user_id stands in an earlier row; the first row counts.",
        "Keep one row a user at the source: the current one.",
    )
    once = always("user_id_was_seen", False)
    return Suite((*id_checks("user_id"), Check(repeated, once)), measure)


def measure(chunk: pa.Table, now: datetime) -> Measures:
    """The columns that the checks look at."""
    return {
        "user_id_bytes": length(chunk.column("user_id")),
        "user_id_was_seen": flag(chunk, "user_id_was_seen"),
    }
