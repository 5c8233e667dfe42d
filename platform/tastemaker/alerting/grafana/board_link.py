"""The place on a board that shows what an alert is about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from tastemaker.alerting.grafana.boards import all_boards
from tastemaker.settings import Settings

BEFORE: Final = timedelta(hours=1)
"""How long before an incident the board begins."""
BOARDS: Final[Mapping[str, str]] = {
    "answers": "service",
    "callers": "service",
    "data": "data",
    "drift": "data",
    "experiments": "model",
    "features": "model",
    "jobs": "data",
    "log": "infrastructure",
    "machine": "infrastructure",
    "models": "model",
    "reward": "model",
    "service": "infrastructure",
    "traffic": "service",
    "versions": "model",
    "watchdog": "infrastructure",
}
"""Cause -> the board of rules that no panel has the threshold of."""


def board_link(base: str, rule: str, cause: str, began_at: datetime, settings: Settings) -> str:
    """Return the address of the panel with a rule's threshold, else of the board of its cause.

    Args:
        base: Grafana's address.
        rule: The incident's rule, whose threshold is looked for in the panels.
        cause: What is at fault, by which a board is chosen.
        began_at: When the incident began.
        settings: Name the services' job and the thresholds.
    """
    query = {
        "var-job": settings.alerts.job,
        "from": str(int((began_at - BEFORE).timestamp() * 1_000)),
        "to": "now",
    }
    name = BOARDS[cause]
    for board in all_boards(settings):
        charts = (one for one in board.to_json(settings.alerts.job)["panels"] if one["type"] != "row")
        for panel, written in zip(board.panels, charts, strict=True):
            if panel.threshold is not None and panel.threshold.rule == rule:
                name, query["viewPanel"] = board.name, str(written["id"])
    return f"{base.rstrip('/')}/d/tastemaker-{name}?{urlencode(query)}"
