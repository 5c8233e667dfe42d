"""Pages by Evidently: the histograms behind a drift report, one page per side.

Evidently's own verdict on the data set is not requested: it is that more than half of the columns drifted,
whatever is usual, and would stand beside ours. Its verdict on a column uses our distances and thresholds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.html import titled
from tastemaker.monitoring.drift_columns import SCORE
from tastemaker.monitoring.drift_current import HOUR
from tastemaker.monitoring.drift_rows import SIDES, Side
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from tastemaker.monitoring.drift_columns import ComparedColumn
    from tastemaker.monitoring.drift_current import CurrentTraffic
    from tastemaker.monitoring.drift_reference import DriftReference


NARROW = """<style>@media (max-width: 40rem) {
  .MuiTypography-root { font-size: 1rem !important; line-height: 1.4 !important; overflow-wrap: anywhere; }
  .MuiGrid-root, .MuiBox-root, .MuiPaper-root, .MuiCardContent-root {
    min-width: 0 !important; max-width: 100% !important;
  }
  .MuiCardContent-root { padding: 4px !important; }
}</style></head>"""
"""Evidently's page has headings and margins for wide windows; on a phone they are cut off."""


def write(
    page: Path,
    name: str,
    reference: DriftReference,
    current: CurrentTraffic,
    compared: Sequence[ComparedColumn],
) -> dict[Side, str]:
    """Write the pages beside the page of the report, and delete those of an earlier report.

    Args:
        page: The page of the report.
        name: The model and the version, for the titles.
        reference: The version's reference.
        current: The version's newest traffic.
        compared: The compared columns.

    Returns:
        Side -> the name of its page's file.
    """
    written: dict[Side, str] = {}
    for side in SIDES:
        path = page.with_name(f"{page.stem}-{side}-evidently.html")
        columns = [
            one
            for one in compared
            if one.side == side and one.column not in {HOUR, SCORE} and _has_values(one)
        ]
        if not columns:
            path.unlink(missing_ok=True)
            continue
        document = _evidently(reference.sides[side], current.sides[side], columns)
        with atomic_write(path) as partial:
            document = document.replace("</head>", NARROW, 1)
            partial.write_text(titled(document, f"Histograms of {side}: {name}"), "utf-8")
        written[side] = path.name
    return written


def _has_values(one: ComparedColumn) -> bool:
    return all(side[:, :-1].sum() > 0 for side in (one.counts.reference, one.counts.current))


def _evidently(reference: pa.Table, current: pa.Table, columns: Sequence[ComparedColumn]) -> str:
    """Return Evidently's page of some columns; it works offline."""
    os.environ["DO_NOT_TRACK"] = "1"  # read when evidently is imported
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    names = [one.column for one in columns]
    definition = DataDefinition(
        numerical_columns=[one.column for one in columns if one.counts.values is not None],
        categorical_columns=[one.column for one in columns if one.counts.values is None],
    )
    sides = [
        Dataset.from_pandas(finite(side.select(names)).to_pandas(), data_definition=definition)
        for side in (current, reference)
    ]
    drifts = [
        ValueDrift(
            column=one.column,
            method="wasserstein" if one.counts.values is not None else "jensenshannon",
            threshold=one.drift.threshold,
        )
        for one in columns
    ]
    html: str = Report(drifts).run(*sides).get_html_str(as_iframe=False)
    return html


def finite(table: pa.Table) -> pa.Table:
    """Return a table with NULL for numbers that are NaN or infinite."""
    arrays = [
        pc.if_else(pc.is_finite(column), column, None) if pa.types.is_floating(column.type) else column
        for column in table.itercolumns()
    ]
    return pa.table(arrays, names=table.column_names)
