"""What a sound item is."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.validation.gate import ValidationRule
from tastemaker_expectations.ids import form_checks, id_checks, id_measures
from tastemaker_expectations.own import own_check, own_measures
from tastemaker_expectations.suite import Check, Measures, Suite, always, flag


def suite() -> Suite:
    """Return the suite of items: a sound id that occurs once, a possible price, own columns that fit."""
    return Suite(
        (
            *id_checks("item_id"),
            *form_checks(),
            Check(
                ValidationRule(
                    "item_id_repeated",
                    "The item_id stands in an earlier row; the first row counts.",
                    "Keep one row per item at the source: the current one.",
                ),
                always("item_id_was_seen", False),
            ),
            Check(
                ValidationRule(
                    "price_impossible",
                    "The price is below 0, or is not a finite number.",
                    "Fix it at the source, or leave it empty if it is not known.",
                ),
                always("price_is_possible", True),
            ),
            own_check("items"),
        ),
        measure,
    )


def measure(chunk: pa.Table, now: datetime) -> Measures:
    """Return the measures of the checks of items, each with a value per row.

    Args:
        chunk: Landed items; `item_id_was_seen` may be missing, and is then false in all rows.
        now: Not used: no check of items depends on the time.
    """
    price = chunk.column("price")
    possible = pc.and_(pc.is_finite(price), pc.greater_equal(price, 0.0))
    return {
        **id_measures(chunk, "item_id"),
        "item_id_was_seen": flag(chunk, "item_id_was_seen"),
        "price_is_possible": pc.fill_null(possible, True),
        **own_measures(chunk),
    }
