"""All boards, and the files from which Grafana provisions them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tastemaker.alerting.generate import GENERATED
from tastemaker.alerting.grafana.data_board import data_board
from tastemaker.alerting.grafana.infrastructure_board import infrastructure_board
from tastemaker.alerting.grafana.model_board import model_board
from tastemaker.alerting.grafana.panel import Board
from tastemaker.alerting.grafana.service_board import service_board
from tastemaker.alerting.yaml_text import yaml_text
from tastemaker.settings import Settings

BOARDS: Final[tuple[Callable[[Settings], Board], ...]] = (
    service_board,
    model_board,
    data_board,
    infrastructure_board,
)
GRAFANA: Final = Path("deploy/grafana")
PLACE: Final = "/var/lib/grafana/dashboards/tastemaker"
"""Folder in which Grafana finds the boards."""
_PROVIDER = {
    "apiVersion": 1,
    "providers": [
        {
            "name": "tastemaker",
            "folder": "Tastemaker",
            "type": "file",
            "allowUiUpdates": False,
            "options": {"path": PLACE},
        }
    ],
}
_DATA_SOURCE = {
    "apiVersion": 1,
    "datasources": [
        {
            "name": "Prometheus",
            "type": "prometheus",
            "uid": "tastemaker-prometheus",
            "access": "proxy",
            "url": "http://prometheus:9090",
            "jsonData": {"timeInterval": "5s"},
        }
    ],
}


def all_boards(settings: Settings) -> tuple[Board, ...]:
    """Return the boards, with the thresholds of the settings."""
    return tuple(make(settings) for make in BOARDS)


def grafana_files(settings: Settings) -> Mapping[Path, str]:
    """Return relative path -> content of the boards and of the files that provision them."""
    boards = {
        GRAFANA / f"{board.name}.json": json.dumps(board.to_json(settings.alerts.job), indent=2) + "\n"
        for board in all_boards(settings)
    }
    provisioning = GRAFANA / "provisioning"
    mounted = f"Copy or mount the boards into {PLACE}."
    address = "Replace the address of Prometheus; timeInterval is its scrape interval."
    return boards | {
        provisioning / "dashboards" / "tastemaker.yml": yaml_text(_PROVIDER, GENERATED, mounted),
        provisioning / "datasources" / "tastemaker.yml": yaml_text(_DATA_SOURCE, GENERATED, address),
    }
