"""How much memory a training needs, by what earlier ones of the same recipe used."""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.trainings.records import Training

NEWEST = 5
"""How many earlier trainings count."""
LARGEST_GROWTH = 4.0
"""Data that grew by more gives no estimate: memory that does not depend on the data would be scaled, too."""


def estimate_memory(earlier: Sequence[Training], events: int, recipe: str) -> int | None:
    """Return the bytes that a training is expected to need; None without a training to go by.

    Each earlier peak is scaled to the events, if there are more of them now, and the largest one counts. A
    training that was ended at its limit counts, too: the same one will need as much again.

    Args:
        earlier: Earlier trainings of the model.
        events: The events of the data now.
        recipe: Digest of the model's code and config: others need another amount.
    """
    peaks = [
        round(one.peak_bytes * max(events / one.events, 1.0))
        for one in earlier
        if one.peak_bytes is not None and one.events and one.recipe == recipe
        if events <= LARGEST_GROWTH * one.events
    ]
    return max(peaks[:NEWEST], default=None)
