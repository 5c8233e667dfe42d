"""Dagster's instance in the home folder: runs, materializations and results of checks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.config import DAGSTER_CONFIG_YAML_FILENAME
from dagster._core.instance.ref import InstanceRef
from ruamel.yaml import YAML

from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.util.atomic_files import atomic_write, plain_path
from tastemaker_pipelines.dagster_yaml import FORMER, WRITTEN, home_config
from tastemaker_pipelines.sqlite_runs import SqliteRuns


def dagster_home(settings: Settings) -> Path:
    """Return DAGSTER_HOME, or the folder `dagster` in the home folder, with its dagster.yaml.

    The file is written if it is missing or older than the settings. A file that a person changed stays.
    """
    given = os.environ.get("DAGSTER_HOME")
    folder = Path(given) if given else settings.home.resolve() / "dagster"
    config, text = folder / DAGSTER_CONFIG_YAML_FILENAME, home_config(settings.orchestrator)
    found = config.read_text("utf-8") if config.exists() else FORMER
    if found != text and (found == FORMER or found.startswith(WRITTEN)):
        with atomic_write(config) as partial:
            partial.write_text(text, "utf-8")
    return folder


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance, and create it if it is missing.

    Raises:
        TastemakerError: If the variable with the URL of its database is not set.
    """
    folder = dagster_home(settings)
    variable = settings.orchestrator.postgres_variable
    if variable and not os.environ.get(variable):
        raise TastemakerError(
            f"the environment variable {variable} of orchestrator.postgres_variable is not set",
            fix="set it to the URL of a Postgres database, such as postgresql://user:password@host/dagster",
        )
    ref = InstanceRef.from_dir(str(plain_path(folder)), overrides=_overrides(folder))
    return dg.DagsterInstance.from_ref(ref)


def _overrides(folder: Path) -> dict[str, Any]:
    """Return the folder of the SQLite files: dagster.yaml has it from DAGSTER_HOME, which may not be set."""
    read = YAML(typ="safe").load(folder / DAGSTER_CONFIG_YAML_FILENAME) or {}
    custom = read.get("storage", {}).get("custom", {})
    if custom.get("class") != SqliteRuns.__name__:
        return {}
    return {"storage": {"custom": custom | {"config": {"base_dir": str(folder)}}}}
