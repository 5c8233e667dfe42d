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
    reference: str | None = None,
    reference_title: str = "",
) -> dict[str, Any]:
    """Return one dot per name, in the order of the table, with a line from end to end of its interval.

    Args:
        name: Column of names.
        x: Column of figures.
        rows: Number of names.
        unit: Unit of the figures.
        low: Column with the lower end of the interval; None for no line.
        high: Column with the upper end.
        reference: Column of figures to compare with, drawn as ticks; None for none.
        reference_title: What the reference is.
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
    if reference is not None:
        tooltip += [one | {"title": reference_title} for one in figure_tooltip(reference, None, None, unit)]
        tick = {"type": "tick", "thickness": 3, "size": 16}
        named = {"x": along | {"field": reference}, "color": {"datum": reference_title}}
        layers.append({"mark": tick, "encoding": named})
    dot = {"type": "point", "filled": True, "size": 60, "opacity": 1}
    top = 34 if reference is not None else 10
    return {
        **sized(height=_ROW * max(rows, 1) + top + 26, left=_NAMES, right=20, top=top),
        "encoding": {"y": down},
        "layer": [*layers, {"mark": dot, "encoding": {"x": along, "tooltip": tooltip}}],
    }
