"""What makes a line of UCI Online Retail an event of a known customer with a product.

These rules come before those of every event. What the columns mean: `tastemaker.data.sources.online_retail`.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.validation.gate import ValidationRule
from tastemaker_expectations.suite import Check, Measures, Suite, always

NOTHING = "Nothing: it is what the data set is known for."


def suite() -> Suite:
    """Return the suite of Online Retail's lines.

    Copies and cancellations come first: they say nothing new, whatever else is wrong with them.
    """
    rules = (
        ValidationRule(
            "exact_duplicate",
            "The line equals an earlier one in all eight columns; the first counts.",
            NOTHING,
        ),
        ValidationRule(
            "cancellation_matched",
            "The line cancels a purchase, whose quantity and value were reduced by it.",
            "Nothing: the cancellation has had its effect.",
        ),
        ValidationRule(
            "cancellation_unmatched",
            "The line cancels something, but no earlier line of the same customer and item has the quantity.",
            "Nothing, if the purchase came before the file begins or in several lines.",
        ),
        ValidationRule("no_customer", "The line has no CustomerID: a sale without a known user.", NOTHING),
        ValidationRule(
            "not_a_product",
            "The stock code is not of a product: postage, a fee, a sample, a voucher or a correction.",
            "Nothing. If it is a product, extend PRODUCT_CODE in the source.",
        ),
        ValidationRule(
            "quantity_not_positive", "The quantity is 0 or less: a stock correction, not a sale.", NOTHING
        ),
        ValidationRule(
            "price_not_positive", "The unit price is 0 or less: a gift, a sample or a correction.", NOTHING
        ),
        ValidationRule(
            "purchase_cancelled",
            "A later cancellation took the whole purchase back.",
            "Nothing: the cancellation is in quarantine too, as cancellation_matched.",
        ),
    )
    return Suite(tuple(Check(rule, always(f"is_{rule.name}", False)) for rule in rules), measure)


def measure(chunk: pa.Table, now: datetime) -> Measures:
    """Return one boolean column per rule: whether each row breaks it.

    A quantity or price that is not a number is left to the rule of the value.

    Args:
        chunk: Landed lines, with the columns that only this source has, such as `is_cancellation`.
        now: Not used: no rule of this source depends on the time.
    """
    column = chunk.column
    cancels, matched = column("is_cancellation"), column("is_matched")
    quantity = column("quantity")
    answers = {
        "exact_duplicate": column("is_duplicate"),
        "cancellation_matched": pc.and_(cancels, matched),
        "cancellation_unmatched": pc.and_(cancels, pc.invert(matched)),
        "no_customer": pc.is_null(column("user_id")),
        "not_a_product": pc.invert(column("is_product")),
        "quantity_not_positive": pc.less_equal(quantity, 0),
        "price_not_positive": pc.less_equal(column("unit_price"), 0.0),
        "purchase_cancelled": pc.and_(
            pc.greater(column("cancelled_quantity"), 0),
            pc.greater_equal(column("cancelled_quantity"), quantity),
        ),
    }
    return {f"is_{name}": pc.fill_null(answer, False) for name, answer in answers.items()}
