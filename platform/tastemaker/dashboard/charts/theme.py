"""Colours and fonts of charts, light and dark.

Reference: Okabe and Ito, Color Universal Design (2008). On white, only those of their colours are used that
have a contrast of at least 3:1 (WCAG 2.2, 1.4.11); on the dark page their lighter ones.
"""

from __future__ import annotations

from typing import Any, Literal

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
SERIES = {
    "light": ("#000000", "#0072b2", "#d55e00", "#cc79a7"),
    "dark": ("#ffffff", "#56b4e9", "#e69f00", "#cc79a7"),
}
"""Colours of series; the first is the champion's. More than four series are not drawn in one chart."""
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
"""Dashes of series, so that colour is never the only difference."""
SHAPES = ("circle", "square", "triangle-up", "diamond")
"""Markers of series, likewise."""
FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"
_INK = {"light": "#1b1f24", "dark": "#e6edf3"}
_PAPER = {"light": "#ffffff", "dark": "#0d1117"}
_SOFT = {"light": "#57606a", "dark": "#9aa5b1"}
_LINE = {"light": "#d8dee4", "dark": "#30363d"}


def config(theme: Theme) -> dict[str, Any]:
    """Return the `config` of a specification: axes, legend, text and the colours of series."""
    ink, soft, line = _INK[theme], _SOFT[theme], _LINE[theme]
    axis = {
        "labelColor": soft,
        "titleColor": soft,
        "gridColor": line,
        "domainColor": line,
        "tickColor": line,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelOverlap": True,
    }
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis,
        "title": {"color": ink, "fontSize": 13, "anchor": "start"},
        "legend": {"labelColor": ink, "titleColor": soft, "orient": "top", "symbolStrokeWidth": 2},
        "text": {"color": ink, "fontSize": 12},
        "mark": {"color": SERIES[theme][1]},
        "rule": {"color": SERIES[theme][1]},
        "bar": {"stroke": _PAPER[theme], "strokeWidth": 0.6},
        "style": {"event": {"color": soft}},
        "range": {"category": list(SERIES[theme]), "heatmap": {"scheme": "blues"}},
    }
