"""What a sound user is."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from tastemaker.data.validation.gate import ValidationRule
from tastemaker_expectations.ids import form_checks, id_checks, id_measures
from tastemaker_expectations.own import own_check, own_measures
from tastemaker_expectations.suite import Check, Measures, Suite, always, flag


def suite() -> Suite:
    """Return the suite of users: a sound id that occurs once, and own columns that can name a group."""
    repeated = ValidationRule(
        "user_id_repeated",
        "The user_id stands in an earlier row; the first row counts.",
        "Keep one row per user at the source: the current one.",
    )
    once = always("user_id_was_seen", False)
    return Suite((*id_checks("user_id"), *form_checks(), Check(repeated, once), own_check("users")), measure)


def measure(chunk: pa.Table, now: datetime) -> Measures:
    """Return the measures of the checks of users, each with a value per row.

    Args:
        chunk: Landed users; `user_id_was_seen` may be missing, and is then false in all rows.
        now: Not used: no check of users depends on the time.
    """
    return {
        **id_measures(chunk, "user_id"),
        "user_id_was_seen": flag(chunk, "user_id_was_seen"),
        **own_measures(chunk),
    }
