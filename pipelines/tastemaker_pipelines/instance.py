"""Dagster's own storage, in the home folder, with telemetry off."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from tastemaker.settings import Settings
from tastemaker.util.atomic_files import atomic_write, plain_path
from tastemaker.util.file_lock import file_lock

CONFIG = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
"""No telemetry, and no page that asks for an e-mail address."""


def dagster_home(settings: Settings) -> Path:
    """Return DAGSTER_HOME, or the folder `dagster` in the home folder; create it with its dagster.yaml."""
    given = os.environ.get("DAGSTER_HOME")
    folder = Path(given) if given else settings.home.resolve() / "dagster"
    config = folder / "dagster.yaml"
    if not config.exists():
        with atomic_write(config) as partial:
            partial.write_text(CONFIG, "utf-8")
    return folder


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance that keeps runs, materializations and check results."""
    folder = dagster_home(settings)
    with file_lock(
        folder / ".lock"
    ):  # Dagster makes its tables now, and two processes would trip over each other
        return dg.DagsterInstance.from_config(str(plain_path(folder)))
