"""Page of a report on recommendation quality: our figures with intervals, and Evidently's beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from tastemaker.evaluation.metrics import METRICS
from tastemaker.html import Page, below, join, shell, table

DEFINITION = (
    "Evidently's recall and MAP divide by all relevant items of a user, ours by at most k of them, so that a "
    "perfect list has the value 1. The figures were compared by one definition, of the same lists, and are "
    "equal but for rounding."
)


def render(title: str, summary: Mapping[str, Any], made_at: datetime, details: str) -> str:
    """Return the page.

    Args:
        title: The page's heading, with model and version.
        summary: The report's summary.
        made_at: The time when it was made.
        details: File name of Evidently's page.
    """
    k, users, compared = summary["k"], summary["users"], summary["users_compared"]
    rows = f"{users:,} users evaluated, {summary['days'][0]} to {summary['days'][1]}"
    if compared < users:
        rows += f"; Evidently's figures are of {compared:,} of them, drawn at random"
    figures = [
        [f"{METRICS[name].title}@{k}", _ours(ours), f"{summary['evidently'][name]:.4f}"]
        for name, ours in summary["metrics"].items()
    ]
    body = [
        table(["Metric", "Ours", "Evidently's"], figures, classes={0: "name"}),
        Markup('<p class="basis">{}</p>').format(DEFINITION),
        Markup('<p><a href="{}">The same figures at each rank</a>, a page made by Evidently</p>').format(
            quote(details)
        ),
    ]
    return shell.render(Page(title, summary["verdict"], rows, made_at, join(body)))


def _ours(figures: Mapping[str, float | None]) -> Markup:
    low, high = figures["low"], figures["high"]
    return below(
        f"{figures['value']:.4f}", "no interval" if low is None else f"95 %: {low:.4f} to {high:.4f}"
    )
