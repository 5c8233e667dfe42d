"""What a sound event is, whatever source it comes from."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.validation.gate import ValidationRule
from tastemaker_expectations.ids import form_checks, id_checks, id_measures
from tastemaker_expectations.suite import (
    Check,
    Measures,
    Suite,
    always,
    between,
    flag,
    present,
    seconds_since,
)

CLOCK_SKEW_SECONDS = 600
"""Shops' clocks differ; an event that is ahead of ours by less than this is taken as it is."""

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Before the first web shop. A missing time that was filled with 0 reads as 1970."""


def suite() -> Suite:
    """Return the suite of events: ids, then type and value, then time."""
    repeated = Check(
        ValidationRule(
            "event_id_repeated",
            "The event_id was seen before, so the same event is reported again; the first report counts.",
            "Nothing, if the source delivers at least once. Else give every event an id of its own.",
        ),
        always("event_id_was_seen", False),
    )
    others = (
        Check(
            ValidationRule(
                "value_unreadable",
                "The value is missing, or is not a finite number.",
                "Fill it at the source, or leave `value` unmapped: then each event counts 1. If decimals "
                "have a comma: source.decimal.",
            ),
            always("value_is_number", True),
        ),
        Check(
            ValidationRule(
                "value_negative",
                "The value is below 0.",
                "Give refunds an event type of their own with a positive value; the problem file gives it a "
                "negative weight.",
            ),
            between("value", low=0),
        ),
        Check(
            ValidationRule(
                "occurred_at_unreadable",
                "The time is missing, or is not a date and time.",
                "Write times as 2024-05-31T18:00:00+02:00, or as seconds since 1970; or say how they are "
                "written: source.time_format.",
            ),
            present("seconds_from_now"),
        ),
        Check(
            ValidationRule(
                "occurred_at_too_early",
                f"The time lies before {EARLIEST:%Y}.",
                "Look for a missing time that was filled with 0, or for seconds taken as milliseconds.",
            ),
            between("seconds_after_1990", low=0),
        ),
        Check(
            ValidationRule(
                "occurred_at_in_future",
                f"The time lies more than {CLOCK_SKEW_SECONDS // 60} minutes in the future.",
                "Check the source's clock, and source.timezone if its times carry no zone.",
            ),
            between("seconds_from_now", high=CLOCK_SKEW_SECONDS),
        ),
        Check(
            ValidationRule(
                "position_negative",
                "The position in the recommendation is below 0.",
                "Count positions from 0, and leave them empty where no recommendation was shown.",
            ),
            between("position", low=0),
        ),
    )
    ids = (id_checks(name) for name in ("user_id", "item_id", "event_type"))
    return Suite(
        (
            *id_checks("event_id"),
            repeated,
            *(check for pair in ids for check in pair),
            *form_checks(),
            *others,
        ),
        measure,
    )


def measure(chunk: pa.Table, now: datetime) -> Measures:
    """Return the measures of the checks of events, each with a value per row.

    Args:
        chunk: Landed events; `event_id_was_seen` may be missing, and is then false in all rows.
        now: The time that no event may lie far ahead of; it is aware.
    """
    return {
        **id_measures(chunk, "event_id", "user_id", "item_id", "event_type"),
        "event_id_was_seen": flag(chunk, "event_id_was_seen"),
        "value": chunk.column("value"),
        "value_is_number": pc.fill_null(pc.is_finite(chunk.column("value")), False),
        "seconds_from_now": seconds_since(chunk.column("occurred_at"), now),
        "seconds_after_1990": seconds_since(chunk.column("occurred_at"), EARLIEST),
        "position": chunk.column("position"),
    }
