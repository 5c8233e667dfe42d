"""The type of times, and the names of indices and constraints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, MetaData, TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A time with a zone, read in UTC. Without it, SQLite would drop the zone without a conversion."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return a time in UTC, as it is stored. SQLAlchemy calls it for each value that is written.

        Args:
            value: A time with a zone; None is stored as null.
            dialect: The database's, which makes no difference.

        Raises:
            ValueError: The time has no zone.
        """
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone, must have one")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return a time in UTC, with its zone; None for null.

        SQLAlchemy calls it for each value that is read.

        Args:
            value: What the driver returns: without a zone, it is in UTC; None for null.
            dialect: The database's, which makes no difference.
        """
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
