"""The reward of an event, from the mapping of a problem; training and serving both use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Worth(NamedTuple):
    """One event is worth flat + by_value · value: Σ over objectives of share · weight (· value)."""

    flat: float
    by_value: float


def event_worth(problem: Mapping[str, Any]) -> dict[str, Worth]:
    """Return event type -> its worth, of the types that a problem (`ProblemSpec.model_dump()`) counts.

    A type of weight 0 is left out, so that naming it changes nothing.

    >>> event_worth({"objectives": [{"share": 0.5, "events": {"buy": {"weight": 2.0, "by_value": True}}}]})
    {'buy': Worth(flat=0.0, by_value=1.0)}
    """
    worth: dict[str, Worth] = {}
    for objective in problem["objectives"]:
        for event_type, reward in objective["events"].items():
            one = objective.get("share", 1.0) * reward.get("weight", 1.0)
            flat, by_value = worth.get(event_type, Worth(0.0, 0.0))
            by_value, flat = (by_value + one, flat) if reward.get("by_value") else (by_value, flat + one)
            worth[event_type] = Worth(flat, by_value)
    return {event_type: one for event_type, one in worth.items() if any(one)}
