"""Retention: do people come back?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Select

from tastemaker.dashboard import measured
from tastemaker.dashboard.cohorts import WEEKLY, cohort_table, curves
from tastemaker.dashboard.content import Figure, Figures, Notes, PageContent
from tastemaker.dashboard.figure_table import figure_table, metric_title
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import day
from tastemaker.dashboard.measured import M, in_words, is_number
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.periods import Pair, compared_figure, than_before
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.series import MOST_SHOWN, SeriesKey, columns, series_of, users_of
from tastemaker.dashboard.shops import ShopKey, largest_shop
from tastemaker.dashboard.viewer import Viewer
from tastemaker.product.retention_metrics import RETENTION, WEEKS

MAIN = "retention_days_1_7"
FIGURES = tuple(one.name for one in RETENTION if not one.slice)
NOT_CAUSAL = (
    "Don't compare versions here: their users came at different times and from different places, so that a "
    "difference need not come from the version. Only an experiment, which assigns users by chance, can say "
    "which version makes users return."
)


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the newest cohorts' figures, the table of cohorts, and curves by first version."""
    cohorts = reader.rows(_cohorts(reader, filters, (WEEKLY, *FIGURES)))
    shop = largest_shop(cohorts)
    own = [row for row in cohorts if ShopKey.of(row) == shop]
    found = {name: pair for name in FIGURES if (pair := _newest([row for row in own if row.metric == name]))}
    in_order = list(found.values())
    return PageContent(
        answer=_answer(reader, filters, found.get(MAIN)),
        as_of=min((pair.now.computed_at for pair in in_order), default=None),
        blocks=[
            Figures([_figure(reader, pair) for pair in in_order], title="The newest cohorts"),
            cohort_table(own, reader.timezone, reader.now),
            Notes(paragraphs=[NOT_CAUSAL], title="By first version seen"),
            curves(_of_versions(reader, filters)),
            figure_table(reader, in_order),
        ],
        models=measured.names_of(reader, "model", filters),
        versions=measured.names_of(reader, "version", filters),
    )


def _answer(reader: DashboardReader, filters: PageFilters, main: Pair | None) -> str:
    if filters.experiment and not filters.variant:
        return (
            f"Choose a variant of {filters.experiment} for its cohorts; the curves below show each variant."
        )
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


def _newest(rows: Sequence[Row[Any]]) -> Pair | None:
    """Return the newest cohort with enough users, or else the newest, beside that of the week before."""
    complete = sorted((row for row in rows if row.is_complete), key=lambda row: row.window_end)
    if not complete:
        return None
    now = next((row for row in reversed(complete) if is_number(row.value)), complete[-1])
    return Pair(now, next((row for row in complete if row.window_end == now.window_start), None))


def _cohorts(
    reader: DashboardReader, filters: PageFilters, metrics: Sequence[str], *names: str
) -> Select[Any]:
    """Return the selection of the figures of cohorts that are young enough for the page."""
    since = reader.now - timedelta(weeks=WEEKS + 1)
    statement = measured.restricted(filters, names=(*names, "slice"))
    return statement.where(M.metric.in_(metrics), M.window_end > since, measured.lasting(7))


def _of_versions(reader: DashboardReader, filters: PageFilters) -> dict[SeriesKey, list[Row[Any]]]:
    """Return the weekly cells of the versions with most users in a cohort."""
    weekly = _cohorts(reader, filters, (WEEKLY,), *columns(filters))
    starts = reader.rows(weekly.where(M.slice == "week=0"))
    shown = series_of(users_of(starts), filters)[:MOST_SHOWN]
    rows = reader.rows(weekly.where(measured.of_versions([(one.model, one.version) for one in shown])))
    return {one: [row for row in rows if SeriesKey.of(row) == one] for one in shown}


PAGE = DashboardPage(
    path="/retention",
    title="Retention",
    question="Do people come back?",
    load=_load,
    filters=("model", "version", "experiment", "variant", "problem"),
)
