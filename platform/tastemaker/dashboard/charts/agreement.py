"""Specification of outcomes by their forecasts, beside the line on which both are equal."""

from __future__ import annotations

from typing import Any

from tastemaker.dashboard.charts.specs import number_format, sized
from tastemaker.dashboard.charts.theme import SHAPES


def forecast_dots(x: str, y: str, *, low: str, high: str, series: str, name: str) -> dict[str, Any]:
    """Return one dot per forecast, with its outcome's interval; methods differ by colour and shape.

    Args:
        x: Column of forecasts, shares.
        y: Column of outcomes, shares.
        low: Column with the lower end of the outcome's interval.
        high: Column with its upper end.
        series: Column of methods.
        name: Column of names, for the pointer.
    """

    def channel(field: str, title: str) -> dict[str, Any]:
        axis = {"title": title, "format": number_format("share"), "tickCount": 4}
        return {"field": field, "type": "quantitative", "axis": axis, "scale": {"zero": True, "padding": 8}}

    across, along = channel(x, "Forecast"), channel(y, "Outcome")
    form = ".3~p"
    shown = [
        {"field": name, "type": "nominal", "title": "Experiment"},
        {"field": series, "type": "nominal", "title": "Forecast from"},
        *({"field": one, "type": "quantitative", "title": one.title(), "format": form} for one in (x, y)),
    ]
    field: dict[str, Any] = {"field": series, "type": "nominal", "legend": None}
    coded = {
        "color": field | {"legend": {"title": None, "orient": "top"}},
        "shape": field | {"scale": {"range": list(SHAPES)}},
    }
    return {
        **sized(height=270, top=34, bottom=40, left=60),
        "layer": [
            {
                "transform": [{"calculate": f"datum['{x}']", "as": "_equal"}],
                "mark": {"type": "line", "style": "event", "strokeDash": [3, 3], "strokeWidth": 1.5},
                "encoding": {"x": across, "y": along | {"field": "_equal"}},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 1.5},
                "encoding": {
                    "x": across,
                    "y": along | {"field": low},
                    "y2": {"field": high},
                    "color": coded["color"],
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {
                    "x": across,
                    "y": along,
                    **coded,
                    "tooltip": shown,
                },
            },
        ],
    }
