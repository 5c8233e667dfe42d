"""Which lists a version learned from: by how, and by the version and the variant that showed them.

Variants of an experiment that learn from each other's lists become alike, or one explores for the other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, NamedTuple

from tastemaker.registry.manifest import Window

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LISTS = """
    WITH shown AS (
        SELECT occurred_at, version, experiment, variant,
            CASE WHEN occurred_at < to_timestamp($end) THEN 'training' ELSE 'online' END AS learned_in
        FROM requests
        WHERE occurred_at >= to_timestamp($start) AND occurred_at < to_timestamp($until) AND len(item_ids) > 0
        QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY occurred_at) = 1
    )
    SELECT learned_in, version, experiment, variant, count(*) FROM shown
    WHERE learned_in = 'training' OR list_contains($versions::VARCHAR[], version)
    GROUP BY ALL ORDER BY learned_in DESC, version, experiment, variant
"""


class LearnedLists(NamedTuple):
    """A number of lists that a version learned from."""

    learned_in: Literal["training", "online"]
    """In its training, which has the feedback on all lists of its window, or since then."""
    version: str
    """The version that showed them."""
    experiment: str | None
    variant: str | None
    """The variant that their units were assigned to; None where no experiment assigned one."""
    lists: int


def learned_lists(
    connection: DuckDBPyConnection, window: Window, *, until: int, versions: Collection[str]
) -> list[LearnedLists]:
    """Return what a version learned from, training first.

    Args:
        connection: Of the lake: it has the table `requests`.
        window: The version's training window.
        until: What was shown before this time was learned online; seconds since 1970 UTC.
        versions: The versions whose lists it learns online.
    """
    values = {
        "start": window.start,
        "end": window.end,
        "until": max(until, window.end),
        "versions": sorted(versions),
    }
    return [LearnedLists(*row) for row in connection.execute(_LISTS, values).fetchall()]
