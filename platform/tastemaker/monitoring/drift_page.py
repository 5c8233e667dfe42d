"""Page of a drift report: each column on both sides, and a link to Evidently's page of the same data."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from tastemaker.html import Page, join, shell, table
from tastemaker.monitoring.distributions import QUANTILES, SIDES

MEANINGS = {
    "item_popularity_percent": "the item's popularity percentile in the training window, 100 for the first",
    "item_price": "the item's price",
    "user_events_count": "the user's events in the training window",
    "user_recency_days": "days from the user's last event in the training window to its end",
    "hour_of_day": "the hour, in UTC",
    "item_category": "the item's category",
    "user_known": "whether the user has events in the training window",
}


def render(
    title: str, summary: str, rows: str, made_at: datetime, columns: dict[str, Any], details: str | None
) -> str:
    """Return the page of a drift report.

    Args:
        title: The title.
        summary: The summary.
        rows: The numbers and the periods of both sides.
        made_at: The time when it was made.
        columns: What `distributions.described` returned.
        details: The file name of Evidently's page; None for no link.
    """
    parts = []
    numbers = {name: one for name, one in columns.items() if "quantiles" in one[SIDES[0]]}
    if numbers:
        parts.append(_numbers(numbers))
    parts += [_labels(name, one) for name, one in columns.items() if name not in numbers]
    if details is not None:
        parts.append(
            Markup(
                '<p><a href="{}">Histograms of the same columns</a>, a page made by Evidently, in which '
                "<em>reference</em> is the training window and <em>current</em> the items shown.</p>"
            ).format(quote(details))
        )
    return shell.render(Page(title, summary, rows, made_at, join(parts)))


def _numbers(columns: dict[str, Any]) -> Markup:
    heads = ["Column", "Side", "Missing", *(f"{share:.0%}" for share in QUANTILES)]
    rows: list[list[str]] = []
    for name, column in columns.items():
        for side in SIDES:
            first = Markup("<strong>{}</strong><small>{}</small>").format(name, MEANINGS.get(name, ""))
            found = column[side]
            rows.append([first if side == SIDES[0] else "", side, _missing(found), *_quantiles(found)])
    return join(
        [
            Markup("<h2>Numbers</h2>"),
            table(heads, rows, classes={0: "name"}),
            Markup('<p class="basis">Quantiles: this share of the rows with a value is at or below it.</p>'),
        ]
    )


def _quantiles(found: dict[str, Any]) -> list[str]:
    if found["quantiles"] is None:
        return ["no value", *[""] * (len(QUANTILES) - 1)]
    return [f"{value:,.4g}".replace("-", "−") for value in found["quantiles"]]


def _missing(found: dict[str, Any]) -> str:
    if not found["missing"]:
        return "none"
    all_of_it = found["missing"] == found["rows"]
    return "all" if all_of_it else f"{found['missing'] / found['rows']:.1%}"


def _labels(name: str, column: dict[str, Any]) -> Markup:
    rows = [
        [label, *(f"{column[side]['shares'][label]:.1%}" for side in SIDES)]
        for label in column[SIDES[0]]["shares"]
    ]
    missing = [_missing(column[side]) for side in SIDES]
    if set(missing) != {"none"}:
        rows.append(["missing", *missing])
    return join(
        [
            Markup("<h2>{}</h2>").format(name),
            Markup('<p class="basis">{}</p>').format(escape(MEANINGS.get(name, ""))),
            table(["Value", *SIDES], rows, classes={0: "name"}),
        ]
    )
