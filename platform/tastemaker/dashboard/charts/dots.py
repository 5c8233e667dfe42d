"""Specification of dots with intervals: figures of variants or categories, one below another."""

from __future__ import annotations

from typing import Any

from tastemaker.dashboard.charts.specs import figure_axis, figure_tooltip, sized

_ROW = 26
"""Height of a name, in pixels."""
_NAMES = 120


def dots(
    name: str,
    x: str,
    *,
    rows: int,
    unit: str,
    low: str | None = None,
    high: str | None = None,
) -> dict[str, Any]:
    """Return one dot per name, in the order of the table, with a line from end to end of its interval.

    Args:
        name: Column of names.
        x: Column of figures.
        rows: Number of names.
        unit: Unit of the figures.
        low: Column with the lower end of the interval; None for no line.
        high: Column with the upper end.
    """
    along = figure_axis(x, unit)
    along |= {"scale": along["scale"] | {"zero": True}}
    down = {
        "field": name,
        "type": "nominal",
        "sort": None,
        "axis": {"title": None, "labelLimit": _NAMES - 8, "grid": True},
    }
    tooltip = [{"field": name, "type": "nominal", "title": "Name"}, *figure_tooltip(x, low, high, unit)]
    layers: list[dict[str, Any]] = []
    if low is not None and high is not None:
        ends = {"x": along | {"field": low}, "x2": {"field": high}}
        layers.append({"mark": {"type": "rule", "strokeWidth": 2}, "encoding": ends})
    dot = {"type": "point", "filled": True, "size": 60, "opacity": 1}
    return {
        **sized(height=_ROW * max(rows, 1) + 36, left=_NAMES, right=20),
        "encoding": {"y": down},
        "layer": [*layers, {"mark": dot, "encoding": {"x": along, "tooltip": tooltip}}],
    }
