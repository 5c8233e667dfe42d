"""Dagster's instance in the home folder: runs, materializations and results of checks."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.config import DAGSTER_CONFIG_YAML_FILENAME
from dagster._core.instance.ref import InstanceRef
from dagster_shared.check import CheckError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.util.atomic_files import atomic_write, plain_path
from tastemaker_pipelines.dagster_yaml import FORMER, WRITTEN, home_config
from tastemaker_pipelines.sqlite_runs import SqliteRuns


def dagster_home(settings: Settings) -> Path:
    """Return DAGSTER_HOME, or the folder `dagster` in the home folder, with its dagster.yaml.

    The file is written if it is missing or older than the settings. A file that a person changed stays.

    Raises:
        TastemakerError: If DAGSTER_HOME is a relative path, which Dagster refuses, or not a folder.
    """
    given = os.environ.get("DAGSTER_HOME")
    folder = Path(given) if given else settings.home.resolve() / "dagster"
    if not folder.is_absolute():
        raise TastemakerError(
            f"the environment variable DAGSTER_HOME is {given!r}, must be an absolute path",
            fix=f"export DAGSTER_HOME={shlex.quote(str(folder.expanduser().absolute()))}",
        )
    if folder.exists() and not folder.is_dir():
        raise TastemakerError(
            f"{folder} is not a folder",
            fix="set the environment variable DAGSTER_HOME to the path of a folder"
            if given
            else "move the file away: Dagster's runs and events are kept in a folder of that name",
        )
    config, text = folder / DAGSTER_CONFIG_YAML_FILENAME, home_config(settings.orchestrator)
    found = config.read_text("utf-8") if config.exists() else FORMER
    if found != text and (found == FORMER or found.startswith(WRITTEN)):
        with atomic_write(config) as partial:
            partial.write_text(text, "utf-8")
    return folder


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the instance, and create it if it is missing.

    Raises:
        TastemakerError: If the variable with the URL of its database is not set, the database does not
            answer, or dagster.yaml can't be used.
    """
    folder = dagster_home(settings)
    variable = settings.orchestrator.postgres_variable
    if variable and not os.environ.get(variable):
        raise TastemakerError(
            f"the environment variable {variable} of orchestrator.postgres_variable is not set",
            fix="set it to the URL of a Postgres database, such as postgresql://user:password@host/dagster",
        )
    config = folder / DAGSTER_CONFIG_YAML_FILENAME
    try:
        ref = InstanceRef.from_dir(str(plain_path(folder)), overrides=_overrides(config))
        return dg.DagsterInstance.from_ref(ref)
    except (YAMLError, dg.DagsterInvalidConfigError, CheckError) as error:
        raise _unusable(config, _reason(error)) from error
    except SQLAlchemyError as error:
        if not variable:
            raise
        reason = error.orig if isinstance(error, DBAPIError) and error.orig else error
        raise TastemakerError(
            f"the orchestrator's database, whose URL is in {variable}, can't be used: {str(reason).strip()}",
            fix=f"start it, or correct the URL in {variable}: postgresql://user:password@host/dagster",
        ) from None  # the cause may quote the URL with its password


def _overrides(config: Path) -> dict[str, Any]:
    """Return the folder of the SQLite files: dagster.yaml has it from DAGSTER_HOME, which may not be set."""
    custom = YAML(typ="safe").load(config) or {}
    for name in ("storage", "custom"):
        if not isinstance(custom, dict):
            raise _unusable(config, f"a mapping is expected where {custom!r} is")
        custom = custom.get(name) or {}
    if not isinstance(custom, dict) or custom.get("class") != SqliteRuns.__name__:
        return {}
    return {"storage": {"custom": custom | {"config": {"base_dir": str(config.parent)}}}}


def _reason(error: Exception) -> str:
    """Return why Dagster can't use its configuration, without the list of all that it knows."""
    found = error.errors[0].message if isinstance(error, dg.DagsterInvalidConfigError) else str(error)
    return found.partition(" Expected: ")[0].removeprefix("Failure condition: ")


def _unusable(config: Path, reason: str) -> TastemakerError:
    return TastemakerError(
        f"{config} can't be used: {reason}",
        fix="correct it, or delete it: it is written again from [orchestrator] in tastemaker.toml",
    )
