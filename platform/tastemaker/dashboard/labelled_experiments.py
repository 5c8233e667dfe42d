"""Experiments that exist as labels in the log only: figures of their variants, without a verdict."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from tastemaker.dashboard import measured
from tastemaker.dashboard.charts.dots import dots
from tastemaker.dashboard.content import (
    Chart,
    Charts,
    DataTable,
    Notes,
    PageBlock,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.figure_table import figure_columns, figure_table, metric_title
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.measured import M, in_words, is_number
from tastemaker.dashboard.periods import Pair, pairs
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.series import SeriesKey, series_of, users_of

MAIN = "ctr_list"
METRICS = (MAIN, "ctr_impression", "reward_per_request")
MOST_VARIANTS = 20
NO_VERDICT = (
    "These experiments are labels in the log: the platform did not assign their users. It can't say whether "
    "users were divided as planned, and does not correct intervals for repeated looks. Don't end an "
    "experiment because two intervals are apart today; plan it here instead: tastemaker experiment new."
)


class LabelledFigures(NamedTuple):
    """What a page shows of such experiments."""

    answer: str
    """Empty: there are none."""
    as_of: datetime | None
    blocks: list[PageBlock]


def labelled(reader: DashboardReader, filters: PageFilters, planned: Container[str]) -> LabelledFigures:
    """Return the list of such experiments, and the figures by variant of the chosen or only one.

    Args:
        reader: Reads the table `measurements`.
        filters: Restrictions; `experiment` chooses one.
        planned: Names of experiments that are more than labels: they have a page of their own.
    """
    names = [name for name in _names(reader, filters) if name not in planned]
    if not names and not filters.experiment:
        return LabelledFigures("", None, [])
    chosen = filters.experiment or (names[0] if len(names) == 1 else "")
    blocks: list[PageBlock] = [_list(filters, names), Notes(paragraphs=[NO_VERDICT])]
    found: list[Pair] = []
    if chosen:
        of_one = replace(filters, experiment=chosen)
        found = _figures(reader, of_one)
        blocks += [_charts(chosen, found), figure_table(reader, found, "variant", *_models(found))]
    return LabelledFigures(
        _answer(reader, names, chosen, found),
        min((pair.now.computed_at for pair in found), default=None),
        blocks,
    )


def _names(reader: DashboardReader, filters: PageFilters) -> list[str]:
    """Return the experiments with figures over the filters' period."""
    windows = measured.newest_windows(reader, METRICS, filters.period)
    statement = select(M.experiment).where(measured.within(windows), M.experiment != "")
    return [row.experiment for row in reader.rows(statement.distinct().order_by(M.experiment))]


def _models(found: Sequence[Pair]) -> tuple[str, ...]:
    """Return the columns of models, where a variant has figures by model only."""
    return ("model", "version") if any(pair.now.model for pair in found) else ()


def _figures(reader: DashboardReader, filters: PageFilters) -> list[Pair]:
    found = pairs(reader, METRICS, filters, names=("model", "version", "variant"))
    shown = series_of(users_of(pair.now for pair in found), filters)[:MOST_VARIANTS]
    shown.sort(key=lambda one: one.name)
    own = [pair for pair in found if SeriesKey.of(pair.now) in shown]
    return sorted(own, key=lambda one: (METRICS.index(one.now.metric), shown.index(SeriesKey.of(one.now))))


def _answer(reader: DashboardReader, names: Sequence[str], chosen: str, found: Sequence[Pair]) -> str:
    if not chosen:
        return f"{len(names):,} experiments are labels in the log; choose one."
    main = [pair.now for pair in found if pair.now.metric == MAIN and is_number(pair.now.value)]
    if not main:
        return f"Experiment {chosen} has too little data for a click-through rate of its variants."
    said = "; ".join(f"{SeriesKey.of(row).name} {in_words(row)}" for row in main)
    window = measured.window(reader, main[0])
    acted = f"Experiment {chosen}, share of lists that users acted on in the {window}: {said}."
    return f"{acted} This is not a verdict."


def _list(filters: PageFilters, names: Sequence[str]) -> DataTable:
    return DataTable(
        name="labels",
        title="Labels in the log",
        columns=[TableColumn("experiment", "Experiment")],
        rows=[[TableCell(name, link=filters.address("/experiments", experiment=name))] for name in names],
        empty="None. Requests that are logged with an experiment and a variant appear here a day later.",
    )


def _charts(experiment: str, found: Sequence[Pair]) -> Charts:
    return Charts(
        title=f"Variants of {experiment}",
        charts=[_chart(metric, [pair for pair in found if pair.now.metric == metric]) for metric in METRICS],
    )


def _chart(metric: str, found: Sequence[Pair]) -> Chart:
    rows = [pair.now for pair in found]
    title, unit = metric_title(metric), rows[0].unit if rows else ""
    data = [[SeriesKey.of(row).name, row.value, row.low, row.high, row.n] for row in rows]
    said = "; ".join(f"{SeriesKey.of(row).name}: {in_words(row)}" for row in rows if is_number(row.value))
    return Chart(
        title=title,
        label=f"{title}. {said or 'There is too little data for a figure'}.",
        spec=dots("variant", "value", rows=len(rows), unit=unit, low="low", high="high"),
        table=DataTable(
            metric,
            title,
            [
                TableColumn("variant", "Variant"),
                *figure_columns(unit),
                TableColumn("users", "Users", "number"),
            ],
            data,
            empty="No figures yet.",
        ),
    )
