"""A chart of a figure over time, and of what is usual for it."""

from __future__ import annotations

from typing import Any

from tastemaker.dashboard.charts.specs import number_format, sized


def line_over_usual(x: str, y: str, *, usual: str, state: str, states: tuple[str, ...]) -> dict[str, Any]:
    """Return a line with a grey area from 0 to what is usual; points differ in shape by their state.

    Args:
        x: Column of times.
        y: Column of the figure.
        usual: Column with the highest usual figure; without one, no area is drawn.
        state: Column with the figure's state, in words.
        states: All states, in the order of their markers.
    """
    across = {
        "field": x,
        "type": "temporal",
        "axis": {"title": None, "grid": False, "format": "%-d %b", "tickCount": 3},
    }
    axis = {"format": number_format(""), "tickCount": 4, "title": None}
    along = {"field": y, "type": "quantitative", "axis": axis}
    markers = {"domain": list(states), "range": ["triangle-up", "circle", "cross"][: len(states)]}
    sizes = {"domain": list(states), "range": [110, 28, 28][: len(states)]}
    coded = {"field": state, "type": "nominal", "legend": None}
    black = {"datum": y, "type": "nominal", "legend": None}
    area = {"y": along | {"field": usual}, "y2": {"datum": 0}}
    points = {
        "y": along,
        "color": black,
        "shape": coded | {"scale": markers},
        "size": coded | {"scale": sizes},
        "tooltip": [
            {"field": x, "type": "temporal", "title": "Made", "format": "%-d %b %Y"},
            {"field": y, "type": "quantitative", "title": "Distance", "format": ",.4~g"},
            {"field": usual, "type": "quantitative", "title": "Usual up to", "format": ",.4~g"},
            {"field": state, "type": "nominal", "title": "State"},
        ],
    }
    return {
        **sized(),
        "encoding": {"x": across},
        "layer": [
            {"mark": {"type": "area", "color": "grey", "opacity": 0.25}, "encoding": area},
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"y": along, "color": black}},
            {"mark": {"type": "point", "filled": True}, "encoding": points},
        ],
    }
