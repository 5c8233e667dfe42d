"""Parts of a board, and their form in Grafana's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

SCHEMA_VERSION: Final = 39
"""Version of the boards' JSON: Grafana 10.4 and later read it, and convert it to their own."""
JOB: Final = 'job=~"$job"'
"""Selects the services that the reader of a board chose."""
WINDOW: Final = "$__rate_interval"
"""Grafana's window for rates: at least four scrapes."""
DATA_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS: Final = 24
"""Width of a board in Grafana's units."""
ROW_HEIGHT: Final = 1

Unit = Literal["short", "percentunit", "reqps", "ops", "s", "bytes", "bool", "dateTimeAsIso", "cores"]
"""Grafana's name of a unit; `percentunit` is a share from 0 to 1."""
Worse = Literal["above", "below"]


@dataclass(frozen=True)
class PanelQuery:
    """An expression and how its series are named."""

    expression: str
    """PromQL with Grafana's variables `$job` and `$__rate_interval`."""
    legend: str
    """With labels in double braces."""


@dataclass(frozen=True)
class Threshold:
    """A value from which a panel is red, as the alert rule of that name has it."""

    value: float
    rule: str
    worse: Worse = "above"


@dataclass(frozen=True)
class Panel:
    """A chart of some expressions over time."""

    title: str
    description: str
    unit: Unit
    queries: tuple[PanelQuery, ...]
    threshold: Threshold | None = None
    is_stacked: bool = False
    width: int = 8
    height: int = 8

    def to_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel as Grafana reads it.

        Args:
            number: The panel's id within its board.
            x: Its left edge in Grafana's units, 0 to COLUMNS - 1.
            y: Its upper edge in Grafana's units, from 0.
        """
        custom = {
            "drawStyle": "line",
            "fillOpacity": 20 if self.is_stacked else 0,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if self.is_stacked else "none"},
            "thresholdsStyle": {"mode": "off" if self.threshold is None else "line"},
        }
        defaults: dict[str, Any] = {
            "custom": custom,
            "thresholds": {"mode": "absolute", "steps": _steps(self.threshold)},
            "unit": "short" if self.unit == "cores" else self.unit,
        }
        if self.unit != "dateTimeAsIso":
            defaults["min"] = 0
        description = self.description
        if self.threshold is not None:
            description += f" The line is the threshold of the alert rule {self.threshold.rule}."
        return {
            "datasource": DATA_SOURCE,
            "description": description,
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "id": number,
            "options": {
                "legend": {
                    "calcs": ["lastNotNull", "max"],
                    "displayMode": "table",
                    "placement": "bottom",
                    "showLegend": True,
                },
                "tooltip": {"mode": "multi", "sort": "desc"},
            },
            "targets": [
                {
                    "datasource": DATA_SOURCE,
                    "editorMode": "code",
                    "expr": query.expression,
                    "legendFormat": query.legend,
                    "range": True,
                    "refId": chr(ord("A") + place),
                }
                for place, query in enumerate(self.queries)
            ],
            "title": self.title,
            "type": "timeseries",
        }


def _steps(threshold: Threshold | None) -> list[dict[str, Any]]:
    if threshold is None:
        return [{"color": "green", "value": None}]
    first, second = ("green", "red") if threshold.worse == "above" else ("red", "green")
    return [{"color": first, "value": None}, {"color": second, "value": threshold.value}]


@dataclass(frozen=True)
class BoardRow:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """A board."""

    name: str
    """In the board's id `tastemaker-NAME` and its file's name."""
    title: str
    description: str
    rows: tuple[BoardRow, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels."""
        return tuple(panel for row in self.rows for panel in row.panels)

    def to_json(self, job: str) -> dict[str, Any]:
        """Return the board as Grafana reads it.

        Args:
            job: The job that is chosen at first.
        """
        return {
            "annotations": {"list": [_alerts()]},
            "description": self.description,
            "editable": False,
            "graphTooltip": 1,
            "links": [
                {
                    "asDropdown": False,
                    "includeVars": True,
                    "keepTime": True,
                    "tags": ["tastemaker"],
                    "title": "Boards",
                    "type": "dashboards",
                }
            ],
            "panels": list(_placed(self.rows)),
            "refresh": "30s",
            "schemaVersion": SCHEMA_VERSION,
            "tags": ["tastemaker"],
            "templating": {"list": [_data_source(), _job(job)]},
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "utc",
            "title": self.title,
            "uid": f"tastemaker-{self.name}",
            "version": 1,
        }


def _placed(rows: Sequence[BoardRow]) -> list[dict[str, Any]]:
    """Return the panels from left to right, row by row."""
    placed: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        heading = {"h": ROW_HEIGHT, "w": COLUMNS, "x": 0, "y": y}
        number = len(placed) + 1
        placed.append(
            {
                "collapsed": False,
                "gridPos": heading,
                "id": number,
                "panels": [],
                "title": row.title,
                "type": "row",
            }
        )
        x, y, height = 0, y + ROW_HEIGHT, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            placed.append(panel.to_json(len(placed) + 1, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return placed


def _alerts() -> dict[str, Any]:
    """Return the annotation that shows when alerts fired."""
    return {
        "datasource": DATA_SOURCE,
        "enable": True,
        "expr": 'ALERTS{alertname=~"Tastemaker.+",alertname!="TastemakerWatchdog",alertstate="firing"}',
        "iconColor": "red",
        "name": "Alerts",
        "step": "30s",
        "tagKeys": "severity",
        "titleFormat": "{{alertname}}",
    }


def _data_source() -> dict[str, Any]:
    return {"label": "Data source", "name": "datasource", "query": "prometheus", "type": "datasource"}


def _job(job: str) -> dict[str, Any]:
    query = "label_values(tastemaker_build_info, job)"
    return {
        "current": {"selected": True, "text": job, "value": job},
        "datasource": DATA_SOURCE,
        "definition": query,
        "includeAll": True,
        "label": "Job",
        "multi": True,
        "name": "job",
        "query": {"query": query, "refId": "job"},
        "refresh": 2,
        "type": "query",
    }


def rate(metric: str, *matchers: str, offset: str | None = None) -> str:
    """Return the rate per second of a counter of the chosen services, now or some time ago.

    Args:
        metric: The counter's name.
        matchers: Further conditions on labels, in PromQL.
        offset: How long ago, such as `7d` in PromQL; None: now.

    >>> rate("tastemaker_swaps_total", 'outcome="done"')
    'rate(tastemaker_swaps_total{job=~"$job",outcome="done"}[$__rate_interval])'
    """
    past = "" if offset is None else f" offset {offset}"
    return f"rate({chosen(metric, *matchers)}[{WINDOW}]{past})"


def chosen(metric: str, *matchers: str) -> str:
    """Return the selector of a metric of the chosen services.

    Args:
        metric: The metric's name.
        matchers: Further conditions on labels, in PromQL, such as `outcome="done"`.
    """
    return f"{metric}{{{','.join((JOB, *matchers))}}}"


def share(part: str, whole: str, by: str) -> str:
    """Return the sum of a part divided by the sum of the whole, by some labels.

    Args:
        part: PromQL of the part.
        whole: PromQL of the whole.
        by: The labels, separated by commas.
    """
    return f"sum by ({by}) ({part}) / sum by ({by}) ({whole})"


def quantile(q: float, metric: str, by: str, *matchers: str) -> str:
    """Return a quantile of a histogram of the chosen services.

    Args:
        q: The quantile, 0 to 1.
        metric: The name of the histogram.
        by: The labels, separated by commas.
        *matchers: Further conditions on labels.
    """
    return f"histogram_quantile({q:g}, sum by (le, {by}) ({rate(metric + '_bucket', *matchers)}))"
