"""Dagster's storage in Postgres, whose tables are created once however many processes start together.

As `sqlite_runs`; apart, because the import takes half a second.
"""

from __future__ import annotations

from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from tastemaker.errors import TastemakerError
from tastemaker.storage.tables import ingested_days
from tastemaker.util.interrupts import restore_interrupts

_ADVISORY_LOCK = 5_173_024_116
"""Any number that no other program locks in this database."""


class PostgresRuns(DagsterPostgresStorage):
    """Runs and events in a Postgres database of their own."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        """Open the storage; its tables are created if there are none.

        Args:
            postgres_url: A SQLAlchemy URL, whose database holds nothing else.
            inst_data: The class and the settings in dagster.yaml, by which Dagster makes it again; None if it
                was not made from them.

        Raises:
            TastemakerError: The database is Tastemaker's metadata database.
        """
        with create_engine(postgres_url, poolclass=NullPool).begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            if inspect(connection).has_table(ingested_days.name):
                raise TastemakerError(
                    "the orchestrator's database is Tastemaker's metadata database: both number the versions "
                    "of their tables in alembic_version",
                    fix="create a database for the orchestrator alone, and set its URL",
                )
            super().__init__(postgres_url, inst_data=inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Return the storage that dagster.yaml describes, in a process that can be ended.

        Args:
            inst_data: The class and the settings in dagster.yaml.
            config_value: The settings, with `postgres_url`.
        """
        restore_interrupts()
        return cls(config_value["postgres_url"], inst_data)
