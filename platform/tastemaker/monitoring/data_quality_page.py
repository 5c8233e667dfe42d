"""Page of a data quality report: the findings, each column, each day, and a link to Evidently's page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from tastemaker.html import Page, below, join, shell, table
from tastemaker.monitoring.ingested_rows import SAMPLED_ROWS


def render(title: str, summary: Mapping[str, Any], made_at: datetime, details: str | None) -> str:
    """Return the page of a data quality report.

    Args:
        title: Head of the page, with the problem's name.
        summary: What `data_quality.summarize` returned.
        made_at: When the report was made.
        details: File name of Evidently's page of the same rows; None without any.
    """
    days, earlier = summary["days"], summary["earlier_days"]
    rows = f"{summary['rows']:,} ingested rows, {days[0]} to {days[-1]}"
    if earlier:
        rows += f"; the days before: {earlier[0]} to {earlier[-1]}"
    parts = [
        *_findings(summary["findings"]),
        Markup("<h2>Columns</h2>"),
        _columns(summary["columns"]),
        Markup("<h2>Days</h2>"),
        _days(summary["by_day"]),
    ]
    if details is not None:
        parts.append(
            Markup(
                '<p><a href="{}">Distributions of these columns</a>, a page made by Evidently of at most {} '
                "rows of each period, with numbers in the place of ids</p>"
            ).format(quote(details), f"{SAMPLED_ROWS:,}")
        )
    return shell.render(Page(title, summary["verdict"], rows, made_at, join(parts)))


def _findings(findings: list[str]) -> list[Markup]:
    if not findings:
        return []
    items = join(Markup("<li>{}</li>").format(one) for one in findings)
    return [Markup("<h2>What is unusual</h2>"), Markup("<ul>\n{}\n</ul>").format(items)]


def _columns(columns: list[dict[str, Any]]) -> Markup:
    rows = [
        [
            one["column"],
            below(
                f"{one['newest']['missing']:.2%}",
                "new" if one["is_new"] else _before(one, "missing", ".2%"),
            ),
            _range(one["newest"]),
            "" if one["earlier"] is None else _range(one["earlier"]),
            "" if one["outside"] is None else f"{one['outside']:.2%}",
            ", ".join(one["new_labels"]),
        ]
        for one in columns
    ]
    heads = ["Column", "Missing", "Range", "Range before", "Outside of it", "New values"]
    return table(heads, rows, classes={0: "name", 2: "name", 3: "name", 5: "text"})


def _before(one: Mapping[str, Any], figure: str, form: str) -> str:
    return "" if one["earlier"] is None else f"before: {format(one['earlier'][figure], form)}"


def _range(figures: Mapping[str, Any]) -> str:
    if figures["low"] is None:
        return ""
    low, high = (one if isinstance(one, str) else f"{one:,.4g}" for one in (figures["low"], figures["high"]))
    return f"{low} to {high}".replace("-", "−") if not isinstance(figures["low"], str) else f"{low} to {high}"


def _days(by_day: list[dict[str, Any]]) -> Markup:
    rows = [
        [one["day"], one["source"], *(f"{one[name]:,}" for name in ("rows", "repeated", "missing"))]
        for one in by_day
    ]
    return table(["Day", "Source", "Rows", "Repeated event ids", "Missing values"], rows, classes={1: "name"})
