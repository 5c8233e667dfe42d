"""Churn: who leaves, who returns?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, or_

from tastemaker.dashboard.charts.bars import stacked_bars
from tastemaker.dashboard.charts.specs import lines
from tastemaker.dashboard.content import Chart, Charts, DataTable, Figures, Notes, PageContent, TableColumn
from tastemaker.dashboard.figure_table import figure_columns, figure_table, metric_title
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import day, number
from tastemaker.dashboard.measured import DAY, M, in_words, is_number, lasting, missing, restricted
from tastemaker.dashboard.measured import window as window_of
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.periods import (  # fmt: skip
    Pair,
    compared_figure,
    history,
    last_day,
    pairs,
    sentence,
    than_before,
)
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.shops import ShopKey, largest_shop
from tastemaker.dashboard.viewer import Viewer

DAYS = 28
PERIODS_SHOWN = 6
CHURN = "churn_28"
PARTS = {"retained": "retained_users_28", "resurrected": "resurrected_users_28", "new": "new_users_28"}
"""Column of the stacked bars -> metric, from the axis upwards: they sum to the active users."""
LOST = "lost_users_28"
ACTIVE = "mau"
RATES = (CHURN, "resurrection_28", "stickiness", "days_between_visits")
ACTIVE_IN = {"dau": "on the day", "wau": "in 7 days", "mau": "in 28 days"}
"""Metric -> in which time its users were active."""
OF_28_DAYS = (*RATES, ACTIVE, *PARTS.values(), LOST)


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the figures of 28 days, bars of the periods before, and lines by day."""
    everywhere = pairs(reader, OF_28_DAYS, filters, days=DAYS)
    shop = largest_shop(pair.now for pair in everywhere)
    found = {pair.now.metric: pair for pair in everywhere if ShopKey.of(pair.now) == shop}
    in_order = [found[name] for name in OF_28_DAYS if name in found]
    days = _by_day(reader, filters, shop)
    figures = [
        compared_figure(reader, pair, metric_title(pair.now.metric), f"{DAYS} days") for pair in in_order
    ]
    rates = [_rate(reader, name, days, found) for name in RATES]
    return PageContent(
        answer=_answer(reader, found),
        as_of=min((pair.now.computed_at for pair in in_order), default=None),
        blocks=[
            Figures(figures),
            Notes(paragraphs=[HOW_TO_READ], title="Where active users come from"),
            _bars(reader, filters, shop),
            Charts([_active(reader, days), *rates], title="Day by day"),
            figure_table(reader, in_order),
        ],
    )


HOW_TO_READ = (
    "New users did something for the first time, retained ones also in the 28 days before, and resurrected "
    "ones came back after a break of at least 28 days: together they are the active users. Lost users, below "
    "the axis, were active in the 28 days before and not in these. Only an experiment shows whether a "
    "recommender made users stay."
)


def _answer(reader: DashboardReader, found: dict[str, Pair]) -> str:
    if CHURN not in found:
        return "That is not known yet: it takes 56 days of data to say who left and who returned."
    churn = found[CHURN]
    window = window_of(reader, churn.now)
    if not is_number(churn.now.value):
        return f"That is not known yet: too few users were active before the {window} ({missing(churn.now)})."
    lost, back = (found.get(name) for name in (LOST, PARTS["resurrected"]))
    counts = (
        f": {number(lost.now.value)} users. {number(back.now.value)} users came back after a break"
        if lost and back and is_number(lost.now.value) and is_number(back.now.value)
        else ""
    )
    said = f"Of the users active before, {in_words(churn.now)} did not return in the {window}{counts}."
    return f"{said} {than_before(churn, f'{DAYS} days', 'Churn')}"


def _bars(reader: DashboardReader, filters: PageFilters, shop: ShopKey) -> Chart:
    metrics = {"active": ACTIVE, **PARTS, "lost": LOST}
    rows = history(reader, list(metrics.values()), filters, days=DAYS, count=PERIODS_SHOWN)
    counts = {
        (last_day(row, reader.timezone), row.metric): row.value for row in rows if ShopKey.of(row) == shop
    }
    data = [
        [until, *(counts.get((until, metric)) for metric in metrics.values())]
        for until in sorted({until for until, metric in counts if metric != ACTIVE})
    ]
    return Chart(
        title="Active and lost users per 28 days",
        label=_in_words(data),
        spec=stacked_bars("until", list(PARTS), below="lost", title="28 days until"),
        table=DataTable(
            "periods",
            "Active and lost users per 28 days",
            [
                TableColumn("until", "28 days until", "day"),
                *(TableColumn(name, name.capitalize(), "number") for name in metrics),
            ],
            data,
            empty="It takes 56 days of data.",
        ),
    )


def _in_words(data: Sequence[Sequence[Any]]) -> str:
    if not data:
        return "There is no figure yet."
    until, *counts = data[-1]
    active, retained, resurrected, new, lost = map(number, counts)
    return (
        f"{active} users were active in the 28 days until {day(until)}: {retained} retained, "
        f"{resurrected} resurrected and {new} new. {lost} were lost."
    )


def _by_day(reader: DashboardReader, filters: PageFilters, shop: ShopKey) -> Sequence[Row[Any]]:
    """Return the figures of the windows that end on each day of the period, oldest first."""
    since = reader.now - (filters.period + 1) * DAY
    lengths = dict.fromkeys((*ACTIVE_IN, *RATES), DAYS) | {"dau": 1, "wau": 7}
    of_these = or_(*(and_(M.metric == name, lasting(days)) for name, days in lengths.items()))
    statement = restricted(filters, names=()).where(
        M.source == shop.source, M.problem == shop.problem, M.window_end > since, of_these
    )
    return reader.rows(statement.order_by(M.window_end))


def _active(reader: DashboardReader, rows: Sequence[Row[Any]]) -> Chart:
    own = [row for row in rows if row.metric in ACTIVE_IN]
    data = [[last_day(row, reader.timezone), ACTIVE_IN[row.metric], row.value] for row in own]
    newest = {name: number(value) for _, name, value in data}
    said = ", ".join(f"{value} {name}" for name, value in newest.items())
    columns = [
        TableColumn("day", "Until", "day"),
        TableColumn("active", "Active"),
        TableColumn("users", "Users", "number"),
    ]
    return Chart(
        title="Active users",
        label=f"Active users on the newest day: {said or 'no figure yet'}.",
        spec=lines("day", "users", unit="users", series="active"),
        table=DataTable("active_users", "Active users", columns, data, empty="No figures by day yet."),
    )


def _rate(reader: DashboardReader, metric: str, rows: Sequence[Row[Any]], found: dict[str, Pair]) -> Chart:
    own = [row for row in rows if row.metric == metric]
    title, unit = metric_title(metric), own[0].unit if own else ""
    said = sentence(found[metric], title, f"{DAYS} days") if metric in found else f"{title}: no figure yet."
    return Chart(
        title=f"{title}, 28 days",
        label=said,
        spec=lines("day", "value", unit=unit, low="low", high="high"),
        table=DataTable(
            metric,
            f"{title}, 28 days",
            [
                TableColumn("day", "Until", "day"),
                *figure_columns(unit),
                TableColumn("users", "Users", "number"),
            ],
            [[last_day(row, reader.timezone), row.value, row.low, row.high, row.n] for row in own],
            empty="No figures by day yet.",
        ),
    )


PAGE = DashboardPage(
    path="/churn",
    title="Churn",
    question="Who leaves, who returns?",
    load=_load,
    filters=("problem", "period"),
)
"""The period is that of the lines by day; the figures are of 28 days."""
