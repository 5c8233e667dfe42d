"""Specifications of bars: parts that sum to a whole, and figures of numbered places."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tastemaker.dashboard.charts.specs import day_axis, figure_axis, figure_tooltip, sized


def stacked_bars(day: str, parts: Sequence[str], *, below: str, title: str) -> dict[str, Any]:
    """Return bars whose parts above the axis sum to a whole, with one more part below it.

    Parts differ by colour and by their place, which is the same in each bar and in the legend.

    Args:
        day: Column with the last day of each bar.
        parts: Columns of counts above the axis, from the axis upwards.
        below: Column of counts below the axis; they are positive, too.
        title: What a bar covers, such as `28 days until`.
    """
    first, second, *others = parts
    colours = [second, first, *others, below]  # the first part is the largest: it is not black
    legend = {"values": [*reversed(parts), below], "symbolType": "square", "columns": 2, "title": None}
    dated = day_axis(day) | {"type": "ordinal"}
    named = f"datum.part === {json.dumps(below)}"
    counts = figure_axis("signed", "users")
    bars = {
        "x": dated | {"axis": {"title": None, "format": "%-d %b", "labelAngle": 0}},
        "y": counts | {"axis": counts["axis"] | {"labelExpr": "format(abs(datum.value), ',.4~r')"}},
        "color": {"field": "part", "type": "nominal", "scale": {"domain": colours}, "legend": legend},
        "order": {"field": "place", "type": "quantitative"},
        "tooltip": [
            {name: dated[name] for name in ("field", "timeUnit")} | {"title": title, "format": "%-d %b %Y"},
            {"field": "part", "type": "nominal", "title": "Users"},
            {"field": "count", "type": "quantitative", "title": "Count", "format": ",d"},
        ],
    }
    return {
        **sized(height=270, top=54),
        "transform": [
            {"fold": [*parts, below], "as": ["part", "count"]},
            {"calculate": f"{named} ? -datum.count : datum.count", "as": "signed"},
            {"calculate": f"indexof({json.dumps([*parts, below])}, datum.part)", "as": "place"},
        ],
        "layer": [
            {"mark": "bar", "encoding": bars},
            {
                "mark": {"type": "rule", "style": "event"},
                "encoding": {"y": {"datum": 0, "type": "quantitative"}},
            },
        ],
    }


def place_bars(
    place: str, y: str, *, title: str, unit: str, low: str, high: str, top: float | None = None
) -> dict[str, Any]:
    """Return one bar per numbered place, with its interval.

    Args:
        place: Column of whole numbers, such as positions in a list.
        y: Column of figures.
        title: What a place is, such as `Position`.
        unit: Unit of the figures.
        low: Column with the lower end of the interval.
        high: Column with the upper end.
        top: Highest figure of the axis, shared by small multiples; None: from the data.
    """
    across = {"field": place, "type": "ordinal", "axis": {"title": title, "labelAngle": 0}}
    along = figure_axis(y, unit, None if top is None else (0.0, top))
    along |= {"scale": along["scale"] | {"zero": True}}
    tooltip = [{"field": place, "type": "ordinal", "title": title}, *figure_tooltip(y, low, high, unit)]
    ends = {"y": along | {"field": low}, "y2": {"field": high}}
    return {
        **sized(bottom=40),
        "encoding": {"x": across},
        "layer": [
            {"mark": {"type": "bar", "opacity": 0.55}, "encoding": {"y": along, "tooltip": tooltip}},
            {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": ends},
        ],
    }
