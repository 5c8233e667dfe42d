"""Models: how does each model and version do?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sqlalchemy import Row

from tastemaker.dashboard import in_service, measured, training_evidence
from tastemaker.dashboard.charts.specs import MOST_SERIES
from tastemaker.dashboard.content import (
    Charts,
    DataTable,
    PageBlock,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import span
from tastemaker.dashboard.measured import VersionKey
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import training
from tastemaker.dashboard.paging import page_links, shown_rows
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.training_evidence import ForecastFigure, OfflineFigure
from tastemaker.dashboard.version_charts import ChartDays, kind_of, multiples, unit_of, with_unit
from tastemaker.dashboard.viewer import Viewer

ONLINE = {"ctr_list": "Clicked lists", "reward_per_request": "Reward per request"}
"""Metrics with a column and with charts -> title."""
CATALOGUE = {
    "catalogue_coverage": "Catalogue shown",
    "top_1_percent_share": "To the top 1 % of items",
    "new_item_share": "To new items",
}
METRICS = ONLINE | CATALOGUE
BY_VERSION = ("model", "version")


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the table of versions, and charts of those with most users."""
    users = measured.versions_by_users(reader, tuple(METRICS), filters)
    keys = shown_rows(list(users), filters)
    rows = measured.latest(reader, tuple(METRICS), filters, names=BY_VERSION, versions=keys)
    champions = in_service.champions(reader)
    blocks: list[PageBlock] = [
        *_charts(reader, filters, list(users)[:MOST_SERIES], len(users)),
        _table(reader, rows, {key: users[key] for key in keys}, champions),
        *page_links(PAGE.path, filters, len(users)),
    ]
    return PageContent(
        answer=_answer(reader, len(users), filters.period, champions),
        as_of=min((row.computed_at for row in rows), default=None),
        blocks=blocks,
        models=measured.names_of(reader, "model", filters),
        versions=measured.names_of(reader, "version", filters),
    )


def _answer(reader: DashboardReader, count: int, period: int, champions: Sequence[VersionKey]) -> str:
    if not count:
        answer = f"No version answered requests in the last {period} days, as far as figures were computed"
    elif count == 1:
        answer = f"One version answered requests in the last {period} days"
    else:
        answer = f"{count:,} versions answered requests in the last {period} days"
    if not champions:
        return f"{answer}; there is no champion."
    warning = in_service.below_baseline(reader, champions)
    return f"{answer}; the champion is {' '.join(champions[0])}. {warning}".rstrip()


def _charts(
    reader: DashboardReader, filters: PageFilters, keys: Sequence[VersionKey], count: int
) -> list[Charts]:
    """Return small multiples of each online metric, for the versions with most users."""
    found = measured.daily(reader, tuple(ONLINE), filters, names=BY_VERSION, versions=keys)
    rows = {key: [row for row in found if (row.model, row.version) == key] for key in keys}
    names, days = in_service.short_names(keys), ChartDays.of(reader, filters)
    which = f"The {len(keys)} versions with most users, of {count:,}; all" if count > len(keys) else "All"
    note = (
        f"{which} charts have the same scale. The band is the 95 % interval; a gap is a day without figures."
    )
    deploys = " A dashed line is a deploy." if days.ticks else ""
    return [
        Charts(
            multiples(reader, metric, rows, names, days),
            title=with_unit(f"{title}, day by day", unit_of(rows, metric)),
            note=note + deploys,
        )
        for metric, title in ONLINE.items()
        if keys
    ]


def _table(
    reader: DashboardReader,
    rows: Sequence[Row[Any]],
    users: Mapping[VersionKey, int],
    champions: Sequence[VersionKey],
) -> DataTable:
    by_key = {(row.model, row.version, row.metric): row for row in rows}
    ids = [version for _, version in users]
    offline = training_evidence.offline(reader, ids)
    came = [row for row in rows if row.metric == "reward_per_request"]
    forecasts = training_evidence.forecast(reader, ids, came)
    units = {row.metric: row.unit for row in rows}
    return DataTable(
        name="versions",
        title="Versions",
        columns=[
            TableColumn("model", "Model"),
            TableColumn("version", "Version", "name"),
            TableColumn("users", "Users", "number"),
            *(TableColumn(name, ONLINE[name], *kind_of(units.get(name, ""))) for name in ONLINE),
            TableColumn("offline", "Before deployment", "number"),
            TableColumn("forecast", "Forecast of the reward", "number"),
            *(TableColumn(name, CATALOGUE[name], "share") for name in CATALOGUE),
        ],
        rows=[
            [
                TableCell(
                    key[0],
                    link=f"{training.PATH}#{quote(key[0])}",
                    small="champion" if key in champions else "",
                ),
                TableCell(key[1], link=f"/models/{quote(key[1], safe='')}"),
                count,
                *(_measured(by_key.get((*key, name))) for name in ONLINE),
                _offline(offline.get(key[1])),
                _forecast(forecasts.get(key[1])),
                *(_measured(by_key.get((*key, name))) for name in CATALOGUE),
            ]
            for key, count in users.items()
        ],
        note="The versions had different users at different times: only an experiment shows which is better. "
        "Before deployment: the primary metric on past data, with its rank among the models.",
    )


def _measured(row: Row[Any] | None) -> TableCell:
    if row is None:
        return TableCell(None, small="not computed", look="too_little")
    if row.value is None:
        return TableCell(None, small=measured.missing(row), look="too_little")
    return TableCell(row.value, small=span(row.low, row.high, row.unit))


def _offline(found: OfflineFigure | None) -> TableCell:
    if found is None:
        return TableCell(None, small="no backtest", look="too_little")
    between = span(found.low, found.high)
    rank = f"{found.metric}, rank {found.rank} of {found.of}"
    return TableCell(found.value, small=f"{between}; {rank}" if between else rank)


def _forecast(found: ForecastFigure | None) -> TableCell:
    if found is None:
        return TableCell(None, small="no forecast", look="too_little")
    came = {True: "what came agrees", False: "what came differs", None: "not comparable yet"}[found.holds]
    between = span(found.low, found.high)
    return TableCell(found.value, small=f"{between}; {came}" if between else came)


PAGE = DashboardPage(
    path="/models",
    title="Models",
    question="How does each model and version do?",
    load=_load,
    filters=("model", "version", "period"),
)
