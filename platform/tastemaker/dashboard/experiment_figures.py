"""Effects of an experiment as figures, tables and charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row

from tastemaker.dashboard.charts.dots import dots
from tastemaker.dashboard.charts.specs import MOST_SERIES, ChartTick, lines
from tastemaker.dashboard.content import (
    Chart,
    DataTable,
    Figure,
    Figures,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.formats import number, span
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.version_charts import kind_of, with_unit
from tastemaker.experiments.result import ExperimentResult
from tastemaker.experiments.unit_metrics import unit_metric_title
from tastemaker.util.counted import counted

BY_EXPOSURE, BY_AGE = "exposed", "day"
"""Names of the slices by the day of a unit's first exposure, and by days since then."""
ADJUSTED = {False: "raw", True: "adjusted"}
_INTERVAL = (("value", "Effect"), ("low", "Low"), ("high", "High"))


def main_figures(result: ExperimentResult) -> Figures:
    """Return the effect on the primary metric of each variant, adjusted and raw."""
    found = [one for one in result.effects if one.role == "primary" and not one.slice]
    found.sort(key=lambda one: not one.is_adjusted)
    return Figures([_main_figure(result, one) for one in found], title="Effect on the primary metric")


def _main_figure(result: ExperimentResult, row: Row[Any]) -> Figure:
    title = f"{unit_metric_title(row.metric)} of {row.variant}, {ADJUSTED[row.is_adjusted]}"
    units = f"{counted(row.units, 'unit')}, control {row.control_units:,}"
    if not _is_finite(row.relative):
        why = "no relative effect: control's figure is 0 or not known"
        return Figure("", title, None, "share", units, missing=why, link="/experiments")
    against = f"{number(row.value, row.unit)} against {number(row.control_value, row.unit)}"
    p = "" if row.p_adjusted is None else f"; p {row.p_adjusted:.2g}, corrected"
    return Figure(
        "", title, row.relative, "share", units, low=row.relative_low, high=row.relative_high,
        comparison=f"{against} of {result.design.control}{p}",
    )  # fmt: skip


def effect_table(result: ExperimentResult) -> DataTable:
    """Return all effects over all units."""
    relatives = {"relative": "Relative", "relative_low": "Low", "relative_high": "High"}
    figures = {
        "value": "Variant's",
        "control_value": "Control's",
        "difference": "Difference",
        "low": "Low",
        "high": "High",
    }
    counts = {"units": "Units", "control_units": "Control's units"}
    return DataTable(
        name="effects",
        title="All effects",
        columns=[
            TableColumn("metric", "Metric", "name"),
            TableColumn("role", "Role"),
            TableColumn("variant", "Variant"),
            TableColumn("figures", "Figures"),
            *(TableColumn(name, title, "share") for name, title in relatives.items()),
            TableColumn("p_adjusted", "p, corrected", "number"),
            *(TableColumn(name, title, "number") for name, title in figures.items()),
            TableColumn("p", "p", "number"),
            *(TableColumn(name, title, "number") for name, title in counts.items()),
        ],
        rows=[
            [
                unit_metric_title(row.metric),
                row.role,
                row.variant,
                ADJUSTED[row.is_adjusted],
                *(row._mapping[name] for name in relatives),
                _p(row.p_adjusted),
                *(TableCell(row._mapping[name], unit=row.unit) for name in figures),
                _p(row.p),
                *(row._mapping[name] for name in counts),
            ]
            for row in result.effects
            if not row.slice
        ],
        note="Adjusted: what the units did before the experiment is taken out (CUPED); intervals become "
        "narrower, and the expected effect stays. Corrected: for the number of comparisons of its role. "
        "Differences of shares are percentage points.",
        empty="No look has found enough matured units for an effect.",
    )  # fmt: skip


def effect_chart(result: ExperimentResult) -> Chart:
    """Return the relative effects of all metrics, one below another."""
    rows = [
        one
        for one in result.effects
        if not one.slice and one.is_adjusted is _is_adjusted(result, one) and _is_finite(one.relative_low)
        and _is_finite(one.relative_high)
    ]  # fmt: skip
    several = len(result.design.variants) > 2
    data = [
        [
            unit_metric_title(row.metric) + (f" of {row.variant}" if several else ""),
            row.relative,
            row.relative_low,
            row.relative_high,
        ]
        for row in rows
    ]
    said = "; ".join(f"{name} {_said(*figures)}" for name, *figures in data)
    title = f"Relative to {result.design.control}"
    return Chart(
        title=title,
        label=f"{title}: {said}.",
        spec=dots("metric", "value", rows=len(data), unit="share", low="low", high="high"),
        table=DataTable(
            "relative_effects",
            title,
            [TableColumn("metric", "Metric", "name"), *_interval_columns("share")],
            data,
            empty="No effect has an interval yet.",
        ),
    )


def _is_adjusted(result: ExperimentResult, row: Row[Any]) -> bool:
    """Return whether a row's metric and variant have an adjusted effect, which is then the one to show."""
    same = (row.metric, row.variant)
    return any((one.metric, one.variant) == same for one in result.whole(is_adjusted=True))


def by_exposure(reader: DashboardReader, result: ExperimentResult) -> Chart:
    """Return the primary effect by the day of first exposure, with a line at each change.

    Args:
        reader: Has the shop's time zone, for the days of the changes.
        result: The experiment. Changes before the first and after the last day with an effect are not shown.

    Returns:
        A chart with a line per variant, at most `MOST_SERIES`; without rows if no look split the effect.
    """
    rows = _primary(result, BY_EXPOSURE)
    days = [date.fromisoformat(row.slice.partition("=")[2]) for row in rows]
    ticks = [one for one in _changes(reader, result) if days and min(days) <= one.day <= max(days)]
    title = f"{unit_metric_title(result.design.primary)} by day of first exposure"
    marked = f" Vertical lines: {counted(len(ticks), 'change')} of the experiment." if ticks else ""
    return _slices(result, "effect_by_exposure", title, "exposed", list(zip(days, rows, strict=True)), marked,
                   TableColumn("exposed", "First exposure", "day"), ticks=ticks)  # fmt: skip


def by_age(result: ExperimentResult) -> Chart:
    """Return the primary effect by days since first exposure: whether it wears off."""
    rows = _primary(result, BY_AGE)
    title = f"{unit_metric_title(result.design.primary)} by days since first exposure"
    numbered = [(int(row.slice.partition("=")[2]), row) for row in rows]
    return _slices(result, "novelty", title, "day", numbered, " An effect that shrinks is a novelty effect.",
                   TableColumn("day", "Days since first exposure", "number"),
                   numbered="Days since first exposure")  # fmt: skip


def _primary(result: ExperimentResult, name: str) -> list[Row[Any]]:
    return [one for one in result.sliced(name) if one.metric == result.design.primary]


def _slices(
    result: ExperimentResult,
    name: str,
    title: str,
    x: str,
    found: Sequence[tuple[Any, Row[Any]]],
    note: str,
    column: TableColumn,
    **more: Any,
) -> Chart:
    variants = list(dict.fromkeys(row.variant for _, row in found))[:MOST_SERIES]
    data = [
        [at, row.variant, row.difference, row.low, row.high, row.units]
        for at, row in found
        if row.variant in variants
    ]
    unit = found[0][1].unit if found else ""
    series = "variant" if len(variants) > 1 else None
    return Chart(
        title=with_unit(title, unit),
        label=f"{title}: difference from {result.design.control} of {', '.join(variants)}.{note}",
        spec=lines(x, "value", unit=unit, series=series, low="low", high="high", **more),
        table=DataTable(
            name,
            title,
            [
                column,
                TableColumn("variant", "Variant"),
                *_interval_columns(unit),
                TableColumn("units", "Units", "number"),
            ],
            data,
            empty="No look has split the effect in this way yet.",
        ),
    )


def progress(reader: DashboardReader, result: ExperimentResult) -> Chart:
    """Return the matured units at each look, beside the planned ones.

    Args:
        reader: Has the shop's time zone, for the days of the looks.
        result: The experiment; only looks of the epoch in force count.

    Returns:
        A chart of the units of all variants together by the day until which a look read the log.
    """
    planned = result.design.planned_units
    data = [
        [one.log_until.astimezone(reader.timezone).date(), sum(one.units.values()), one.number]
        for one in result.looks
    ]
    title = f"Matured units, of {planned:,} planned"
    last = f"{data[-1][1]:,} at look {data[-1][2]}" if data else "none yet"
    return Chart(
        title=title,
        label=f"{title}: {last}.",
        spec=lines("day", "units", unit="units", domain=(0.0, float(planned))),
        table=DataTable(
            "progress",
            title,
            [
                TableColumn("day", "Log until", "day"),
                TableColumn("units", "Units", "number"),
                TableColumn("look", "Look", "number"),
            ],
            data,
            empty="No look was taken yet.",
        ),
    )


def slice_table(result: ExperimentResult) -> DataTable:
    """Return the exploratory slices; none of them decides."""
    own = [
        one
        for one in result.effects
        if one.slice and one.slice.partition("=")[0] not in (BY_EXPOSURE, BY_AGE)
    ]
    return DataTable(
        name="slices",
        title="Slices, exploratory",
        columns=[
            TableColumn("slice", "Only"),
            TableColumn("metric", "Metric", "name"),
            TableColumn("variant", "Variant"),
            *(TableColumn(f"relative_{end}", title, "share") for end, title in _INTERVAL),
            TableColumn("units", "Units", "number"),
        ],
        rows=[
            [
                TableCell(row.slice, look="" if _is_finite(row.relative) else "too_little"),
                unit_metric_title(row.metric),
                row.variant,
                row.relative,
                row.relative_low,
                row.relative_high,
                row.units,
            ]
            for row in own
        ],
        note="Ideas for another experiment, not results: of twenty slices without an effect, one has an "
        "interval without 0 by chance.",
        empty="The plan names no slices, or no look has found enough units in them.",
    )


def _changes(reader: DashboardReader, result: ExperimentResult) -> list[ChartTick]:
    """Return the changes of the experiment as lines on an axis of days."""
    return [
        ChartTick(one.at.astimezone(reader.timezone).date(), f"{one.action} by {one.actor}: {one.reason}")
        for one in result.changes
    ]


def _interval_columns(unit: str) -> list[TableColumn]:
    return [TableColumn(name, title, *kind_of(unit)) for name, title in _INTERVAL]


def _said(value: float, low: float, high: float) -> str:
    return f"{number(value, 'share')} ({span(low, high, 'share')})"


def _p(p: float | None) -> str | None:
    return None if p is None else f"{p:.2g}"


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
