"""Vega-Lite specifications of charts; the data are the rows of a chart's table."""

from __future__ import annotations

from typing import Any

from tastemaker.dashboard.charts.theme import DASHES, SERIES, SHAPES

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""Identity of the specification's version; nothing is fetched from there."""
MOST_SERIES = len(SERIES["light"])


def lines(
    x: str,
    y: str,
    *,
    unit: str,
    series: str | None = None,
    low: str | None = None,
    high: str | None = None,
    width: int = 300,
    height: int = 150,
    domain: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Return a chart of lines over days, with a band for the interval.

    Series differ by colour, dash and marker, and each has its name at the line's end.

    Args:
        x: Column of days.
        y: Column of figures.
        unit: Unit of the figures; a share is written in per cent.
        series: Column with the names of at most `MOST_SERIES` series; None for one line.
        low: Column with the lower end of the interval; None for no band.
        high: Column with the upper end.
        width: Width in pixels.
        height: Height in pixels.
        domain: Lowest and highest figure of the axis, shared by small multiples; None: from the data.
    """
    scale: dict[str, Any] = {"nice": True, "zero": False}
    if domain is not None:
        scale["domain"] = list(domain)
    axis = {"format": number_format(unit), "tickCount": 4, "title": None}
    across = {
        "field": x,
        "type": "temporal",
        "axis": {"title": None, "grid": False, "format": "%-d %b", "tickCount": 5},
    }
    along = {"field": y, "type": "quantitative", "scale": scale, "axis": axis}
    coded = _coded(series)
    layers: list[dict[str, Any]] = []
    if low is not None and high is not None:
        ends = {"y": along | {"field": low}, "y2": {"field": high}}
        layers.append({"mark": {"type": "area", "opacity": 0.15}, "encoding": ends | _only(coded, "color")})
    dashed = _only(coded, "color", "strokeDash")
    layers.append({"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"y": along, **dashed}})
    dots = {"y": along, **_only(coded, "color", "shape"), "tooltip": _tooltip(x, y, series, low, high, unit)}
    layers.append({"mark": {"type": "point", "filled": True, "size": 28}, "encoding": dots})
    if series is not None:
        layers.append(_names(x, y, series, coded))
    return {"$schema": SCHEMA, "width": width, "height": height, "encoding": {"x": across}, "layer": layers}


def number_format(unit: str) -> str:
    """Return the d3 format of a unit's figures on an axis."""
    return ".1~%" if unit == "share" else ",.3~g"


def _coded(series: str | None) -> dict[str, Any]:
    """Return the channels that tell series apart, without a legend: each line has its name."""
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


def _names(x: str, y: str, series: str, coded: dict[str, Any]) -> dict[str, Any]:
    last = {"aggregate": {"argmax": x}}
    return {
        "mark": {"type": "text", "align": "left", "dx": 6},
        "encoding": {
            "x": {"aggregate": "max", "field": x, "type": "temporal"},
            "y": {"field": y, "type": "quantitative", **last},
            "text": {"field": series, "type": "nominal"},
            "color": coded["color"],
        },
    }


def _tooltip(
    x: str, y: str, series: str | None, low: str | None, high: str | None, unit: str
) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [{"field": x, "type": "temporal", "title": "Day", "format": "%-d %b %Y"}]
    if series is not None:
        shown.append({"field": series, "type": "nominal", "title": "Series"})
    form = ".2%" if unit == "share" else ",.4~g"
    named = ((y, "Value"), (low, "Low (95 %)"), (high, "High (95 %)"))
    return shown + [
        {"field": field, "type": "quantitative", "title": title, "format": form}
        for field, title in named
        if field
    ]
