"""Whether lists may be interleaved: not where a step after the model chooses an item by the items beside it.

The diversity step and the place of new items look at the whole list that they are in. A mixed list is none of
theirs: an item that stands there because of its neighbours has lost them, so that a reaction to it says
nothing about the variant that placed it.
"""

from __future__ import annotations

from tastemaker.serving_settings import RetrievalSettings


def interleaving_fault(retrieval: RetrievalSettings) -> str | None:
    """Return why the lists of services with these settings may not be interleaved; None if they may."""
    if retrieval.diversity > 0:
        return (
            f"retrieval.diversity is {retrieval.diversity}, must be 0: the diversity step chooses an item by "
            "the items beside it, and a mixed list has others"
        )
    if retrieval.new_items:
        return (
            "retrieval.new_items is true, must be false: the place of new items belongs to no variant, and "
            "both lists may have the same new item at different places"
        )
    return None
