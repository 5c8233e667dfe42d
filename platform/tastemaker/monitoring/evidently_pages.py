"""Pages by Evidently: histograms, summaries of rows, and ranking figures. No other module imports Evidently.

The pages work offline and have a title and the width of a phone. Evidently's own verdict on a data set is not
requested: it is that more than half of the columns drifted, whatever is usual, and would stand beside ours.

Evidently prints frequent values of every column that it is given, so that it is never given a user's id.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.html import titled

if TYPE_CHECKING:
    from tastemaker.monitoring.drift_columns import ComparedColumn

NARROW = """<style>@media (max-width: 40rem) {
  .MuiTypography-root { font-size: 1rem !important; line-height: 1.4 !important; overflow-wrap: anywhere; }
  .MuiGrid-root, .MuiBox-root, .MuiPaper-root, .MuiCardContent-root {
    min-width: 0 !important; max-width: 100% !important;
  }
  .MuiCardContent-root { padding: 4px !important; }
}</style></head>"""
"""Evidently's page has headings and margins for wide windows; on a phone they are cut off."""
SUFFIX = "-evidently.html"
"""The end of the names of the files with these pages."""
RANKING: Final[dict[str, str]] = {
    "ndcg": "NDCG",
    "mrr": "MRR",
    "hit_rate": "HitRate",
    "recall": "RecallTopK",
    "map": "MAP",
}
"""Our metric -> Evidently's. Its recall and MAP divide by all relevant items of a user, ours by at most k."""


class RankingPage(NamedTuple):
    """Evidently's page of ranking figures, and its figures at k."""

    document: str
    figures: dict[str, float]
    """By our name of the metric: see RANKING."""


def histograms(title: str, reference: pa.Table, current: pa.Table, columns: Sequence[ComparedColumn]) -> str:
    """Return the page of some columns of a drift report, with our distances and thresholds.

    Args:
        title: What the document is called in the browser and in the index.
        reference: Rows of the reference.
        current: Rows of now.
        columns: The columns; each has values on both sides.
    """
    from_pandas, report = _evidently()
    from evidently import DataDefinition
    from evidently.metrics import ValueDrift

    names = [one.column for one in columns]
    definition = DataDefinition(
        numerical_columns=[one.column for one in columns if one.counts.values is not None],
        categorical_columns=[one.column for one in columns if one.counts.values is None],
    )
    sides = [from_pandas(finite(side.select(names)).to_pandas(), definition) for side in (current, reference)]
    drifts = [
        ValueDrift(
            column=one.column,
            method="wasserstein" if one.counts.values is not None else "jensenshannon",
            threshold=one.drift.threshold,
        )
        for one in columns
    ]
    return _document(_run(report(drifts), *sides), title)


def summary(title: str, current: pa.Table, reference: pa.Table | None) -> str:
    """Return the page that summarizes rows: counts, missing values, ranges, frequent labels, duplicates.

    Columns without any value on a side are left out.

    Args:
        title: What the document is called in the browser and in the index.
        current: The rows, with numbers in the place of ids.
        reference: Rows to compare with, with the same columns; None for no comparison.
    """
    from_pandas, report = _evidently()
    from evidently import DataDefinition
    from evidently.presets import DataSummaryPreset

    sides = [finite(side) for side in (current, reference) if side is not None]
    known = [
        name for name in current.column_names if all(side[name].null_count < len(side) for side in sides)
    ]
    kinds = {name: current.schema.field(name).type for name in known}
    ids = [name for name in kinds if name.endswith("_id")]
    definition = DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if pa.types.is_floating(kind)],
        categorical_columns=[
            name for name, kind in kinds.items() if pa.types.is_string(kind) and name not in ids
        ],
        datetime_columns=[name for name, kind in kinds.items() if pa.types.is_timestamp(kind)],
        text_columns=ids,
    )
    data = [from_pandas(side.select(known).to_pandas(), definition) for side in sides]
    return _document(_run(report([DataSummaryPreset()]), data[0], data[1] if data[1:] else None), title)


def ranking(title: str, rows: pa.Table, k: int) -> RankingPage:
    """Return the page of ranking figures.

    Args:
        title: What the document is called in the browser and in the index.
        rows: `user` int64, `item` int64, `rank` int64 from 1, and `target` int64: 1 if the item is
            relevant, else 0. A user has a row for each rank up to the larger of k and 10, and one below these
            for each relevant item that is not in the list.
        k: The length of the lists.
    """
    from_pandas, report = _evidently()
    from evidently import DataDefinition, Recsys, metrics

    columns = {"user_id": "user", "item_id": "item", "target": "target", "prediction": "rank"}
    definition = DataDefinition(ranking=[Recsys(**columns, recommendations_type="rank")])
    wanted = [getattr(metrics, name)(k=k) for name in RANKING.values()]
    snapshot = _run(report(wanted), from_pandas(rows.to_pandas(), definition), None)
    # By place, not by Evidently's own label of the rank, which is one too high for NDCG and MRR.
    found = [one.value["value"].iloc[k - 1] for one in map(snapshot.metric_results.get, _ids(wanted))]
    return RankingPage(_document(snapshot, title), dict(zip(RANKING, map(float, found), strict=True)))


def finite(table: pa.Table) -> pa.Table:
    """Return a table with NULL for numbers that are NaN or infinite."""
    arrays = [
        pc.if_else(pc.is_finite(column), column, None) if pa.types.is_floating(column.type) else column
        for column in table.itercolumns()
    ]
    return pa.table(arrays, names=table.column_names)


def _ids(metrics: Sequence[Any]) -> list[str]:
    return [one.get_metric_id() for one in metrics]


def _evidently() -> tuple[Any, Any]:
    """Return Evidently's makers of data sets and of reports, with its telemetry off."""
    os.environ["DO_NOT_TRACK"] = "1"  # read when evidently is imported
    from evidently import Dataset, Report

    return lambda frame, definition: Dataset.from_pandas(frame, data_definition=definition), Report


def _run(report: Any, current: Any, reference: Any) -> Any:
    """Return a report's snapshot, without warnings of Evidently's use of other libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return report.run(current, reference)


def _document(snapshot: Any, title: str) -> str:
    document: str = snapshot.get_html_str(as_iframe=False)
    return titled(document.replace("</head>", NARROW, 1), title)
