"""Vega-Lite specifications of charts; the data are the rows of a chart's table.

Every chart has the same outer width and fixed margins, so that a page knows the size before it is drawn, and
charts below each other have their axes below each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from tastemaker.dashboard.charts.theme import DASHES, SERIES, SHAPES

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""Identity of the specification's version; nothing is fetched from there."""
MOST_SERIES = len(SERIES["light"])
WIDTH, HEIGHT = 368, 190
"""Of a whole chart, in pixels: three charts fit on a desktop's page, one on a telephone's."""
MARGINS = {"left": 50, "right": 12, "top": 10, "bottom": 26}
NAMES = 124
"""Right margin with the names of series."""


class ChartTick(NamedTuple):
    """Something that happened on a day, such as a deploy: a vertical line in a chart."""

    day: date
    text: str


def sized(*, names: bool = False, height: int = HEIGHT, **other: int) -> dict[str, Any]:
    """Return the beginning of a specification: its version, size and margins.

    Args:
        names: Whether there are names to the right of the lines.
        height: Of the whole chart, in pixels.
        other: Margins that differ from MARGINS, in pixels.
    """
    margins = MARGINS | ({"right": NAMES} if names else {}) | other
    return {
        "$schema": SCHEMA,
        "width": WIDTH - margins["left"] - margins["right"],
        "height": height - margins["top"] - margins["bottom"],
        "padding": margins,
        "autosize": {"type": "none"},
    }


def outer_size(spec: Mapping[str, Any]) -> tuple[int, int]:
    """Return the width and the height of a whole chart, in pixels."""
    margins = spec.get("padding", MARGINS)
    return (
        spec.get("width", WIDTH) + margins["left"] + margins["right"],
        spec.get("height", HEIGHT) + margins["top"] + margins["bottom"],
    )


def lines(
    x: str,
    y: str,
    *,
    unit: str,
    series: str | None = None,
    low: str | None = None,
    high: str | None = None,
    height: int = HEIGHT,
    domain: tuple[float, float] | None = None,
    days: tuple[date, date] | None = None,
    ticks: Sequence[ChartTick] = (),
    numbered: str = "",
) -> dict[str, Any]:
    """Return a chart of lines over days, or over whole numbers, with a band for the interval.

    Series differ by colour, dash and marker, and each has its name at the right. Lines have a gap on days
    with a row without a figure; the interval of a day between gaps is a bar.

    Args:
        x: Column of days, or of whole numbers.
        y: Column of figures.
        unit: Unit of the figures; a share is written in per cent.
        series: Column with the names of at most `MOST_SERIES` series; None for one line.
        low: Column with the lower end of the interval; None for no band.
        high: Column with the upper end.
        height: Height of the whole chart, in pixels.
        domain: Lowest and highest figure of the axis, shared by small multiples; None: from the data.
        days: First and last day of the axis, likewise.
        ticks: What happened on some of the days.
        numbered: What the whole numbers are, such as `Week`; empty: `x` has days.
    """
    across = number_axis(x, numbered) if numbered else day_axis(x, days)
    along = figure_axis(y, unit, domain)
    coded = _coded(series)
    layers = [_ticks(x, across, ticks)] if ticks else []
    if low is not None and high is not None:
        ends = {"x": across, "y": along | {"field": low}, "y2": {"field": high}, **_only(coded, "color")}
        layers += [
            {"mark": {"type": "area", "opacity": 0.15}, "encoding": ends},
            {
                "transform": _alone(x, y, series),
                "mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.25},
                "encoding": ends,
            },
        ]
    placed = {"x": across, "y": along}
    dashed = _only(coded, "color", "strokeDash")
    layers.append({"mark": {"type": "line", "strokeWidth": 2}, "encoding": {**placed, **dashed}})
    layers.append(
        {
            # Points are small: what is shown is the one that is nearest to the pointer.
            "params": [{"name": "near", "select": {"type": "point", "nearest": True, "on": "pointerover"}}],
            "mark": {"type": "point", "filled": True, "size": 22},
            "encoding": {
                **placed,
                **_only(coded, "color", "shape"),
                "tooltip": _tooltip(across, y, series, low, high, unit),
            },
        }
    )
    if series is not None:
        layers += _names(x, y, series, placed, coded)
    titled = {"bottom": 40} if numbered else {}
    return {**sized(names=series is not None, height=height, **titled), "layer": layers}


def day_axis(x: str, days: tuple[date, date] | None = None) -> dict[str, Any]:
    """Return the horizontal channel of days. No browser's time zone shifts them.

    Args:
        x: Column of days.
        days: First and last day of the axis; None: from the data.
    """
    axis = {"title": None, "grid": False, "format": "%-d %b", "tickCount": 3}
    channel: dict[str, Any] = {"field": x, "type": "temporal", "timeUnit": "utcyearmonthdate", "axis": axis}
    if days is not None:
        channel["scale"] = {
            "domain": [{"year": d.year, "month": d.month, "date": d.day, "utc": True} for d in days]
        }
    return channel


def number_axis(x: str, title: str) -> dict[str, Any]:
    """Return the horizontal channel of whole numbers.

    Args:
        x: Column of whole numbers.
        title: What the numbers are, such as `Week`: the axis shows it.
    """
    axis = {"title": title, "grid": False, "format": "d", "tickMinStep": 1, "tickCount": 7}
    return {"field": x, "type": "quantitative", "axis": axis}


def figure_axis(y: str, unit: str, domain: tuple[float, float] | None = None) -> dict[str, Any]:
    """Return the vertical channel of figures. It need not begin at 0.

    Args:
        y: Column of figures.
        unit: Unit of the figures; a share is written in per cent.
        domain: Lowest and highest figure of the axis, shared by small multiples; None: from the data.
    """
    scale: dict[str, Any] = {"nice": True, "zero": False}
    if domain is not None:
        scale["domain"] = list(domain)
    short = "abs(datum.value) >= 1e5 ? format(datum.value, '.3~s') : datum.label"
    axis = {"format": number_format(unit), "tickCount": 4, "title": None, "labelExpr": short}
    return {"field": y, "type": "quantitative", "scale": scale, "axis": axis}


def number_format(unit: str) -> str:
    """Return the d3 format of a unit's figures on an axis."""
    return ".2~%" if unit == "share" else ",.4~r"


def _ticks(x: str, across: dict[str, Any], ticks: Sequence[ChartTick]) -> dict[str, Any]:
    return {
        "data": {"values": [{x: one.day.isoformat(), "event": one.text} for one in ticks]},
        "mark": {"type": "rule", "style": "event", "strokeDash": [3, 3], "strokeWidth": 1.5},
        "encoding": {
            "x": across,
            "tooltip": [_day(x), {"field": "event", "type": "nominal", "title": "Event"}],
        },
    }


def _coded(series: str | None) -> dict[str, Any]:
    """Return the channels by which series differ, without a legend: each line has its name."""
    if series is None:
        return {}
    field: dict[str, Any] = {"field": series, "type": "nominal", "legend": None, "sort": None}
    return {
        "color": field,
        "strokeDash": field | {"scale": {"range": [list(dash) for dash in DASHES]}},
        "shape": field | {"scale": {"range": list(SHAPES)}},
    }


def _only(coded: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: coded[name] for name in names if name in coded}


def _alone(x: str, y: str, series: str | None) -> list[dict[str, Any]]:
    """Return the transform that keeps days without a figure before and after them: they have no band."""
    beside = [{"op": op, "field": y, "as": name} for op, name in (("lag", "_before"), ("lead", "_after"))]
    by = {"groupby": [series]} if series is not None else {}
    return [
        {"window": beside, "sort": [{"field": x}], **by},
        {"filter": f"isValid(datum['{y}']) && !isValid(datum._before) && !isValid(datum._after)"},
    ]


def _names(
    x: str, y: str, series: str, placed: dict[str, Any], coded: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the names of series one below the other, each joined to the end of its line."""
    transform = [
        {"filter": f"isValid(datum['{y}'])"},
        {
            "window": [{"op": "row_number", "as": "_newest"}],
            "sort": [{"field": x, "order": "descending"}],
            "groupby": [series],
        },
        {"filter": "datum._newest == 1"},
        {
            "window": [{"op": "row_number", "as": "_place"}],
            "sort": [{"field": y, "order": "descending"}],
        },
        {"joinaggregate": [{"op": "count", "as": "_names"}]},
    ]
    at = {"expr": "height * (datum._place - 0.5) / datum._names"}
    colour = _only(coded, "color")
    joined = {**placed, "x2": {"value": {"expr": "width + 5"}}, "y2": {"value": at}, **colour}
    named = {"x": {"value": {"expr": "width"}}, "y": {"value": at}, **colour}
    text = {"field": series, "type": "nominal"}
    return [
        {
            "transform": transform,
            "mark": {"type": "rule", "strokeWidth": 0.75, "opacity": 0.6},
            "encoding": joined,
        },
        {
            "transform": transform,
            "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 8, "limit": NAMES - 12},
            "encoding": {**named, "text": text, "tooltip": text | {"title": "Series"}},
        },
    ]


def _day(x: str) -> dict[str, Any]:
    return {
        "field": x,
        "type": "temporal",
        "timeUnit": "utcyearmonthdate",
        "title": "Day",
        "format": "%-d %b %Y",
    }


def _tooltip(
    across: dict[str, Any], y: str, series: str | None, low: str | None, high: str | None, unit: str
) -> list[dict[str, Any]]:
    field, title = across["field"], across["axis"]["title"]
    shown = [{"field": field, "type": "quantitative", "title": title} if title else _day(field)]
    if series is not None:
        shown.append({"field": series, "type": "nominal", "title": "Series"})
    return shown + figure_tooltip(y, low, high, unit)


def figure_tooltip(y: str, low: str | None, high: str | None, unit: str) -> list[dict[str, Any]]:
    """Return the channels of a tooltip's lines: a figure, and the ends of its 95 % interval.

    Args:
        y: Column of figures.
        low: Column with the lower end of the interval; None for no line.
        high: Column with the upper end; None for no line.
        unit: Unit of the figures; a share is written in per cent.
    """
    form = ".3~p" if unit == "share" else ",.4~r"
    named = ((y, "Value"), (low, "Low (95 %)"), (high, "High (95 %)"))
    return [
        {"field": field, "type": "quantitative", "title": title, "format": form}
        for field, title in named
        if field
    ]
