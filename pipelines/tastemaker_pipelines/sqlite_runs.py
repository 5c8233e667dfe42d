"""Dagster's storage in SQLite files, whose tables are created once however many processes start together.

Dagster's own class looks for tables and creates them without a lock: of processes that start together on an
empty folder, most fail. Only opening is serialized here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from tastemaker.util.atomic_files import plain_path
from tastemaker.util.file_lock import file_lock
from tastemaker.util.interrupts import restore_interrupts


class SqliteRuns(DagsterSqliteStorage):
    """Runs and events in SQLite files of a folder.

    Args:
        base_dir: The folder; it is made if it is missing.
        inst_data: The class and the settings in dagster.yaml, by which Dagster makes it again; None if it was
            not made from them.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        folder = Path(base_dir)
        with file_lock(folder / ".lock"):
            super().__init__(str(plain_path(folder)), inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> Self:
        """Return the storage that dagster.yaml describes, in a process that can be ended.

        It is the first of our code that each of Dagster's own processes calls.

        Args:
            inst_data: The class and the settings in dagster.yaml.
            config_value: The settings, with `base_dir`.
        """
        restore_interrupts()
        return cls.from_local(inst_data=inst_data, **config_value)
