"""One version of a model: everything that is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from tastemaker.dashboard import measured, training_evidence
from tastemaker.dashboard.content import (
    Charts,
    DataTable,
    Figure,
    Figures,
    PageBlock,
    PageContent,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import day
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.version_charts import ChartDays, single_chart, with_gaps, with_unit
from tastemaker.dashboard.viewer import Viewer
from tastemaker.errors import UnknownNameError
from tastemaker.product.catalogue_metrics import CATALOGUE
from tastemaker.product.definitions import DEFINITIONS
from tastemaker.product.engagement_metrics import ENGAGEMENT
from tastemaker.registry.lineage import VersionLineage, read_lineage
from tastemaker.storage.tables import versions

METRICS = tuple(one.name for one in (*ENGAGEMENT, *CATALOGUE) if not one.slice)
DRAWN = ("ctr_list", "ctr_impression", "reward_per_request", "model_answer_share")


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the figures, charts and history of a version. Raises UnknownNameError for an unknown one."""
    version = filters.path["version"]
    registered = reader.rows(select(versions).where(versions.c.id == version))
    models = [registered[0].model] if registered else _models(reader, version)
    if not models:
        raise UnknownNameError(
            f"there is no version {version[:200]!r}", fix="follow the links of the page Models"
        )
    mine = PageFilters(model=models[0], version=version, period=filters.period)
    rows = measured.latest(reader, METRICS, mine)
    daily = measured.daily(reader, DRAWN, mine, versions=[(models[0], version)])
    blocks: list[PageBlock] = [
        Figures(_figures(reader, rows), title=f"Over {filters.period} days"),
        Charts(_charts(reader, daily, mine), title="Day by day"),
        Figures(_evidence(reader, version, rows), title="Before deployment"),
        *(_lineage(read_lineage(reader.engine, version)) if registered else ()),
    ]
    return PageContent(
        answer=_answer(models[0], registered, rows, filters.period),
        as_of=min((row.computed_at for row in rows), default=None),
        blocks=blocks,
        title=f"{models[0]} {version}",
    )


def _models(reader: DashboardReader, version: str) -> list[str]:
    """Return the models that have figures of a version of this name: it is not in the registry."""
    return [
        model
        for model in measured.names_of(reader, "model", PageFilters())
        if version in measured.names_of(reader, "version", PageFilters(model=model))
    ]


def _answer(model: str, registered: Sequence[Row[Any]], rows: Sequence[Row[Any]], period: int) -> str:
    made = f" was trained on {day(registered[0].created_at)} and" if registered else ""
    users = max((row.n or 0 for row in rows), default=0)
    if not users:
        return f"This version of {model}{made} did not answer anyone in the last {period} days."
    return f"This version of {model}{made} answered {users:,} users in the last {period} days."


def _figures(reader: DashboardReader, rows: Sequence[Row[Any]]) -> list[Figure]:
    by_metric = {row.metric: row for row in rows}
    return [
        measured.figure(by_metric[name], DEFINITIONS[name].title, measured.window(reader, by_metric[name]))
        for name in METRICS
        if name in by_metric
    ]


def _evidence(reader: DashboardReader, version: str, rows: Sequence[Row[Any]]) -> list[Figure]:
    offline = training_evidence.offline(reader, [version]).get(version)
    came = [row for row in rows if row.metric == "reward_per_request"]
    forecast = training_evidence.forecast(reader, [version], came).get(version)
    return [_offline(offline), _forecast(forecast)]


def _offline(found: training_evidence.OfflineFigure | None) -> Figure:
    title = "Primary metric on past data"
    if found is None:
        return Figure("", title, None, "", "", missing="it has no backtest", without_value="Not known")
    return Figure(
        "", f"{title}: {found.metric}", found.value, "", "Test period of its backtest", low=found.low,
        high=found.high, n=found.users, comparison=f"rank {found.rank} of {found.of} models",
    )  # fmt: skip


def _forecast(found: training_evidence.ForecastFigure | None) -> Figure:
    title = "Forecast of the reward per request"
    if found is None:
        return Figure("", title, None, "", "", missing="it has no forecast", without_value="Not known")
    came = "" if found.came is None else measured.in_words(found.came)
    said = {
        True: f"what came agrees: {came}",
        False: f"what came differs: {came}",
        None: f"what came: {came or 'nothing yet'}",
    }[found.holds]
    return Figure(
        "", title, found.value, "", f"Made on {day(found.made_at)} from the request log", low=found.low,
        high=found.high, comparison=said,
    )  # fmt: skip


def _charts(reader: DashboardReader, rows: Sequence[Row[Any]], filters: PageFilters) -> list[Any]:
    days = ChartDays.of(reader, filters)
    units = {row.metric: row.unit for row in rows}
    return [
        single_chart(
            name,
            with_unit(DEFINITIONS[name].title, units[name]),
            with_gaps(reader, rows, name),
            units[name],
            days,
        )
        for name in DRAWN
        if name in units
    ]


def _lineage(found: VersionLineage) -> list[PageBlock]:
    """Return what the version was made from, and what became of it."""
    return [
        DataTable(
            "lineage",
            "Why it was trained, and from what",
            [TableColumn("part", "Part"), TableColumn("value", "Value", "sentence")],
            [[label.strip(), value] for label, value in found.parts()],
            note="What differs from the champion before is below it, as before -> now.",
        ),
        DataTable(
            "changes",
            "What became of it",
            [
                TableColumn("at", "When", "time"),
                TableColumn("what", "What"),
                TableColumn("actor", "By"),
                TableColumn("reason", "Why", "sentence"),
            ],
            [[one.at, one.what, one.actor or "not recorded", one.reason] for one in reversed(found.events)],
        ),
    ]


PAGE = DashboardPage(
    path="/models/{version:path}",
    title="Version",
    question="How does this version do?",
    load=_load,
    filters=("period",),
    in_navigation=False,
)
