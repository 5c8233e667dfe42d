"""The histograms behind a drift report, one page by Evidently per side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tastemaker.monitoring import evidently_pages
from tastemaker.monitoring.drift_columns import SCORE
from tastemaker.monitoring.drift_current import HOUR
from tastemaker.monitoring.drift_sides import SIDES, Side

if TYPE_CHECKING:
    from tastemaker.monitoring.drift_columns import ComparedColumn
    from tastemaker.monitoring.drift_current import CurrentTraffic
    from tastemaker.monitoring.drift_reference import DriftReference


def histograms(
    name: str,
    reference: DriftReference,
    current: CurrentTraffic,
    compared: Sequence[ComparedColumn],
) -> dict[Side, str]:
    """Return the page of each side that has a column with values.

    Args:
        name: The model and the version, for the titles.
        reference: The version's reference.
        current: The version's newest traffic.
        compared: The compared columns.
    """
    found: dict[Side, str] = {}
    for side in SIDES:
        columns = [
            one
            for one in compared
            if one.side == side and one.column not in {HOUR, SCORE} and _has_values(one)
        ]
        if columns:
            sides = reference.sides[side], current.sides[side]
            found[side] = evidently_pages.histograms(f"Histograms of {side}: {name}", *sides, columns)
    return found


def _has_values(one: ComparedColumn) -> bool:
    return all(side[:, :-1].sum() > 0 for side in (one.counts.reference, one.counts.current))
