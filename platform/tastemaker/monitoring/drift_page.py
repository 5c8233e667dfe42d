"""Page of a drift report: the answer, each column with its distance, and links to the histograms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from tastemaker.html import Page, below, join, shell, table
from tastemaker.monitoring.drift_distances import FALSE_ALARM_RATE, SMALLEST
from tastemaker.monitoring.drift_sides import SIDES, TITLES, Side

LIKES: Final[dict[Side, str]] = {
    "users": "Requests, compared with those of the last weeks of the training window: by the request log "
    "where the service answered, by the events before that.",
    "features": "User features as logged with the requests, compared with the features that the users who "
    "came in the last weeks of the training window had on the morning of that day.",
    "lists": "Items of the model's lists, compared with the lists of this version for the users who came in "
    "the last weeks of the training window; scores, with those of the version's first seven days.",
    "choices": "Events of the newest days, compared with those of the last weeks of the training window.",
}
MOST_LABELS = 6


def render(title: str, summary: Mapping[str, Any], made_at: datetime, details: Mapping[Side, str]) -> str:
    """Return the page of a drift report.

    Args:
        title: Head of the page, with the version's name.
        summary: The report's summary, as the database has it.
        made_at: When the report was made.
        details: Side -> file name of Evidently's page of the same columns.
    """
    parts = []
    for side in SIDES:
        columns = [one for one in summary["columns"] if one["side"] == side]
        if columns:
            parts.append(_side(side, columns, details.get(side)))
    if parts:
        parts.append(_explained())
    return shell.render(Page(title, summary["verdict"], _rows(summary), made_at, join(parts)))


def _rows(summary: Mapping[str, Any]) -> str:
    days, reference = summary["days"], summary["reference_days"].get("users")
    said = f"{summary['requests']:,} requests"
    if days:
        said += f", {days[0]}" + (f" to {days[-1]}" if days[1:] else "")
    return said if reference is None else f"{said}; reference: {reference[0]} to {reference[1]}"


def _side(side: Side, columns: Iterable[Mapping[str, Any]], details: str | None) -> Markup:
    rows = [
        [
            one["column"],
            _state(one),
            one["sentence"],
            below(
                f"{one['distance']:.3f}",
                "" if one["threshold"] is None else f"threshold {one['threshold']:.3f}",
            ),
            _described(one["reference"], one["current"]),
            _described(one["current"], one["reference"]),
            below(f"{one['n']:,}", f"reference {one['n_reference']:,}"),
        ]
        for one in columns
    ]
    heads = ["Column", "", "What changed most", "Distance", "Reference", "Now", "Rows"]
    parts = [
        Markup("<h2>{}</h2>").format(TITLES[side]),
        Markup('<p class="basis">{}</p>').format(LIKES[side]),
        table(heads, rows, classes={0: "name", 2: "text", 4: "name", 5: "name"}),
    ]
    if details is not None:
        parts.append(
            Markup('<p><a href="{}">Histograms of these columns</a>, a page made by Evidently</p>').format(
                quote(details)
            )
        )
    return join(parts)


def _state(one: Mapping[str, Any]) -> Markup | str:
    if one["threshold"] is None:
        return "not evaluated"
    return Markup("<strong>changed</strong>") if one["alarm"] else "as usual"


def _described(one: Mapping[str, Any], other: Mapping[str, Any]) -> Markup:
    """Return a side in figures; labels are those whose shares differ most."""
    missing = f"{one['missing']:.1%} missing" if one["missing"] else ""
    if "shares" not in one:
        if one["quantiles"] is None:
            return below("no value", missing)
        low, _, middle, _, high = (f"{value:,.4g}".replace("-", "−") for value in one["quantiles"])
        return below(f"median {middle}", f"5 % to 95 %: {low} to {high}; {missing or 'none missing'}")
    shares, others = one["shares"], other["shares"]
    labels = sorted(shares, key=lambda label: -abs(shares[label] - others.get(label, 0.0)))[:MOST_LABELS]
    said = ", ".join(f"{label} {shares[label]:.1%}" for label in labels)
    return below(said or "no value", missing)


def _explained() -> Markup:
    return Markup(
        '<h2>How to read this</h2><p class="basis">The distance of numbers is the Wasserstein distance '
        "divided by the standard deviation of the reference, that of labels the Jensen-Shannon distance; "
        "both are at least the difference of the shares of missing values. The threshold follows from how "
        "much days of the reference differ from its other days, and is never below {smallest}. While nothing "
        "changes, the chance that any column of a report is marked as changed is about {rate:.0%}. "
        "The pages by Evidently use the same distances and thresholds, on the same rows, except that they "
        "leave out missing values.</p>"
    ).format(smallest=SMALLEST, rate=FALSE_ALARM_RATE)
