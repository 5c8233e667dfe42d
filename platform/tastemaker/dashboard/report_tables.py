"""Tables of what the reports of each kind found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tastemaker.dashboard.content import DataTable, Notes, PageBlock, TableCell, TableColumn
from tastemaker.monitoring.drift_sides import SIDES, TITLES
from tastemaker.monitoring.report_archive import ReportKind

Summary = Mapping[str, Any]


def drift(summary: Summary) -> list[PageBlock]:
    """Return the compared columns, those that changed first."""
    columns = sorted(
        summary["columns"], key=lambda one: (not one["alarm"], SIDES.index(one["side"]), one["column"])
    )
    table = DataTable(
        "columns",
        "Columns",
        [
            TableColumn("side", "Side"),
            TableColumn("column", "Column"),
            TableColumn("state", "State"),
            TableColumn("what_changed", "What changed most", "sentence"),
            TableColumn("distance", "Distance", "number"),
            TableColumn("threshold", "Usual up to", "number"),
            TableColumn("rows", "Rows", "number"),
            TableColumn("rows_before", "Rows before", "number"),
        ],
        [
            [
                TITLES[one["side"]],
                TableCell(phrase(one), small=one["column"]),
                state(one),
                one["sentence"],
                one["distance"],
                _or_none(one["threshold"]),
                one["n"],
                one["n_reference"],
            ]
            for one in columns
        ],
        note="A distance of 0 means no difference. What is usual is measured: days of the reference are "
        "compared with its other days.",
        empty=summary["note"] or "No column was compared.",
    )
    return [table]


def phrase(column: Mapping[str, Any]) -> str:
    """Return what a compared column of a drift report describes."""
    return str(column.get("phrase", column["column"]))


def state(column: Mapping[str, Any]) -> str:
    """Return what a compared column of a drift report is: changed, as usual, or not evaluated."""
    if column["threshold"] is None:
        return "not evaluated"
    return "changed" if column["alarm"] else "as usual"


def data_quality(summary: Summary) -> list[PageBlock]:
    """Return what is unusual, each column, and each day."""
    findings = [Notes(items=summary["findings"], title="What is unusual")] if summary["findings"] else []
    return [*findings, _quality_columns(summary["columns"]), _days(summary["by_day"])]


def _quality_columns(columns: Sequence[Mapping[str, Any]]) -> DataTable:
    return DataTable(
        "columns",
        "Columns",
        [
            TableColumn("column", "Column"),
            TableColumn("missing", "Missing", "share"),
            TableColumn("missing_before", "Missing before", "share"),
            TableColumn("low", "Lowest"),
            TableColumn("high", "Highest"),
            TableColumn("outside", "Outside of the range before", "share"),
            TableColumn("new_values", "New values"),
        ],
        [
            [
                TableCell(one["column"], small="new" if one["is_new"] else ""),
                one["newest"]["missing"],
                _or_none(None if one["earlier"] is None else one["earlier"]["missing"]),
                _end(one["newest"]["low"]),
                _end(one["newest"]["high"]),
                one["outside"],
                ", ".join(one["new_labels"]) or None,
            ]
            for one in columns
        ],
        note="The rows as the source gave them, before validation.",
    )


def _end(value: float | str | None) -> str | None:
    return f"{value:,.4g}" if isinstance(value, (int, float)) else value


def _days(days: Sequence[Mapping[str, Any]]) -> DataTable:
    return DataTable(
        "days",
        "Days",
        [
            TableColumn("day", "Day"),
            TableColumn("source", "Source"),
            TableColumn("rows", "Rows", "number"),
            TableColumn("repeated", "Repeated event ids", "number"),
            TableColumn("missing", "Missing values", "number"),
        ],
        [[one[name] for name in ("day", "source", "rows", "repeated", "missing")] for one in days],
    )


def ranking(summary: Summary) -> list[PageBlock]:
    """Return our figures with intervals, and Evidently's."""
    table = DataTable(
        "metrics",
        "Metrics",
        [
            TableColumn("metric", "Metric"),
            TableColumn("ours", "Ours", "number"),
            TableColumn("low", "Low (95 %)", "number"),
            TableColumn("high", "High (95 %)", "number"),
            TableColumn("evidently", "Evidently's", "number"),
        ],
        [
            [f"{name}@{summary['k']}", one["value"], one["low"], one["high"], summary["evidently"][name]]
            for name, one in summary["metrics"].items()
        ],
        note=f"{summary['users']:,} users, {summary['days'][0]} to {summary['days'][1]}; Evidently's figures "
        f"are of {summary['users_compared']:,} of them. Its recall and MAP divide by all relevant items of a "
        "user, ours by at most k; by one definition they are equal, else there is no report.",
    )
    return [table]


def _or_none(value: float | None) -> TableCell:
    return TableCell(value, look="too_little" if value is None else "")


BY_KIND: Mapping[ReportKind, Callable[[Summary], list[PageBlock]]] = {
    "drift": drift,
    "data_quality": data_quality,
    "ranking": ranking,
}
