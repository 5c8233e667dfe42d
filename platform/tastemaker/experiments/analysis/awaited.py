"""What units wait for: the types of events that came until a time before the end of their windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tastemaker.event_log.arrivals import Arrival
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.util.counted import counted
from tastemaker.util.durations import DAY_SECONDS

LATE_SECONDS = float(DAY_SECONDS)
"""How far a type may be behind the others without a warning: a batch of the night is not late."""
SOURCE, CALLERS = "source", "callers"
"""Where the events that are waited for come from."""


def awaited(units: UnitTable) -> list[dict[str, Any]]:
    """Return the types that keep units from counting, the one that most units wait for first.

    Args:
        units: All units, mature or not.

    Returns:
        Values that JSON has: `event_type`, `origin` (SOURCE or CALLERS), `newest` (time of its newest event)
        and `units`, the number of those whose window is over by other types, or by the same from elsewhere.
    """
    found = [
        {
            "event_type": one.event_type,
            "origin": CALLERS if one.is_reported else SOURCE,
            "newest": _timestamp(one).isoformat(),
            "units": kept,
        }
        for one in units.arrivals
        if not one.is_over and (kept := units.over_by(_ahead(units)) - units.over_by(one.until))
    ]
    return sorted(found, key=lambda one: (-one["units"], one["event_type"]))


def awaited_words(one: Mapping[str, Any]) -> str:
    """Return what is waited for in words, of an entry of `awaited`."""
    newest = datetime.fromisoformat(one["newest"])
    units = counted(one["units"], "unit")
    # Looks that were stored before origins were known have none.
    origin = {SOURCE: " from the source", CALLERS: " from callers"}.get(one.get("origin", ""), "")
    return f"{one['event_type']}{origin}: the newest is of {newest:%Y-%m-%d %H:%M} UTC; {units}"


def hint_of_end(found: Iterable[Mapping[str, Any]]) -> str:
    """Return what to do where a source is waited for that has ended; empty unless one is.

    Args:
        found: Entries of `awaited`.
    """
    is_source = any(one["origin"] == SOURCE for one in found)
    return " If the source brings no newer events, set source.ended." if is_source else ""


def arrival_warnings(units: UnitTable) -> Iterator[str]:
    """Yield which types of events are late, and which no unit waits for."""
    for late in awaited(units):
        if _ahead(units) - datetime.fromisoformat(late["newest"]).timestamp() > LATE_SECONDS:
            words = f"Events are late. Waiting for {awaited_words(late)} are not counted yet."
            yield words + hint_of_end([late])
    for one in units.arrivals:
        if one.is_over and len(units.arrivals) > 1:
            since = f"came since {_timestamp(one):%Y-%m-%d %H:%M} UTC" if one.newest > 0 else "ever came"
            yield f"No {one.event_type} {since}: no unit waits for it, and it counts as 0."


def _ahead(units: UnitTable) -> float:
    """Return until when the type has arrived that is ahead of all others, wherever it comes from."""
    return max(one.ahead for one in units.arrivals)


def _timestamp(one: Arrival) -> datetime:
    return datetime.fromtimestamp(one.newest, UTC)
