"""Dagster's own storage: in the home folder, with its telemetry off."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from tastemaker.settings import Settings

CONFIG = "telemetry:\n  enabled: false\n"


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME if it is set, else a folder in the home folder. It is made, with its dagster.yaml."""
    given = os.environ.get("DAGSTER_HOME")
    folder = Path(given) if given else settings.home.resolve() / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "dagster.yaml"
    if not config.exists():
        config.write_text(CONFIG)
    return folder


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance that keeps runs, materializations and check results."""
    return dg.DagsterInstance.from_config(str(dagster_home(settings)))
