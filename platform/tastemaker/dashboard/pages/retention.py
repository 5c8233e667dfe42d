"""Retention: do people come back?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Select

from tastemaker.dashboard import measured
from tastemaker.dashboard.access.viewer import Viewer
from tastemaker.dashboard.cohorts import WEEKLY, cohort_table, curves
from tastemaker.dashboard.content import Figure, Figures, Notes, PageContent
from tastemaker.dashboard.figure_table import figure_table, metric_title
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import day
from tastemaker.dashboard.measured import M, in_words, is_number
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.periods import Pair, compared_figure, pairs, than_before
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.series import MOST_SHOWN, SeriesKey, columns, series_of
from tastemaker.dashboard.shops import ShopKey, largest_shop
from tastemaker.product.retention_metrics import RETENTION, WEEKS

MAIN = "retention_days_1_7"
FIGURES = tuple(one.name for one in RETENTION if not one.slice)
NOT_CAUSAL = (
    "Don't compare versions here: their users came at different times and from different places, so that a "
    "difference need not come from the version. Only an experiment, which assigns users by chance, can say "
    "which version makes users return."
)


def load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the newest cohorts' figures, the table of cohorts, and curves by first version."""
    everywhere = pairs(reader, FIGURES, filters, days=7)
    shop = largest_shop(pair.now for pair in everywhere)
    found = {pair.now.metric: pair for pair in everywhere if ShopKey.of(pair.now) == shop}
    in_order = [found[name] for name in FIGURES if name in found]
    cohorts = [row for row in reader.rows(_weeks(reader, filters)) if ShopKey.of(row) == shop]
    return PageContent(
        answer=_answer(reader, filters, found.get(MAIN)),
        as_of=min((pair.now.computed_at for pair in in_order), default=None),
        blocks=[
            Figures([_figure(reader, pair) for pair in in_order], title="The newest cohorts"),
            cohort_table(cohorts, reader.timezone, reader.now),
            Notes(paragraphs=[NOT_CAUSAL], title="By first version seen"),
            curves(_of_versions(reader, filters)),
            figure_table(reader, in_order),
        ],
        models=measured.names_of(reader, "model", filters),
        versions=measured.names_of(reader, "version", filters),
    )


def _answer(reader: DashboardReader, filters: PageFilters, main: Pair | None) -> str:
    if main is None:
        return "That is not known yet: no week's new users have been followed for a week."
    users = f"users whose first {_start(filters)} was in the week from {_monday(reader, main.now)}"
    if not is_number(main.now.value):
        return f"That is not known yet: there are too few {users} ({measured.missing(main.now)})."
    came = f"{in_words(main.now)} of the {users} came back within 7 days."
    return f"{came} {than_before(main, 'week')}"


def _start(filters: PageFilters) -> str:
    """Return what a user's clock starts with."""
    by = " ".join(filter(None, (filters.model, filters.version, filters.experiment, filters.variant)))
    return f"list of {by}" if by else "visit"


def _figure(reader: DashboardReader, pair: Pair) -> Figure:
    shown = compared_figure(reader, pair, metric_title(pair.now.metric), "week")
    return replace(shown, window=f"new users of the week from {_monday(reader, pair.now)}")


def _monday(reader: DashboardReader, row: Row[Any]) -> str:
    return day(measured.day_of(reader, row))


def _weeks(reader: DashboardReader, filters: PageFilters, *names: str) -> Select[Any]:
    """Return the selection of the weekly cells of cohorts that are young enough for the page."""
    since = reader.now - timedelta(weeks=WEEKS + 1)
    statement = measured.restricted(filters, names=(*names, "slice"))
    return statement.where(M.metric == WEEKLY, M.window_end > since, measured.lasting(7))


def _of_versions(reader: DashboardReader, filters: PageFilters) -> dict[SeriesKey, list[Row[Any]]]:
    """Return the weekly cells of the versions with most users in a cohort."""
    names = columns(filters)
    starts = reader.rows(_weeks(reader, filters, *names).where(M.slice == "week=0"))
    shown = series_of(starts, filters)[:MOST_SHOWN]
    of_these = measured.of_versions([(one.model, one.version) for one in shown])
    rows = reader.rows(_weeks(reader, filters, *names).where(of_these))
    return {one: [row for row in rows if SeriesKey.of(row) == one] for one in shown}


PAGE = DashboardPage(
    path="/retention",
    title="Retention",
    question="Do people come back?",
    load=load,
    filters=("model", "version", "experiment", "variant", "problem"),
)
