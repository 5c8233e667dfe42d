"""Engine of the metadata database, SQLite or Postgres, migrated to the newest step by any process."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from tastemaker.errors import TastemakerError
from tastemaker.storage.migrations import HEAD
from tastemaker.util.os_errors import in_words
from tastemaker.util.sqlite_wal import use_wal

BUSY_SECONDS = 60
"""How long a writer waits for another one."""
CONNECT_SECONDS = 10
_UPGRADES = Lock()
"""Alembic's context is global to the process, so threads that open several databases take turns."""
_MIGRATION_LOCK = 7_236_104_551
"""Key of Postgres's advisory lock; any number that no other program uses."""


def open_engine(url: str) -> Engine:
    """Open the database at a SQLAlchemy URL, and create or migrate its tables.

    Raises:
        TastemakerError: The database can't be used; the message does not contain the password.
    """
    parsed = parse(url)
    try:
        engine = (
            _connect_sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _connect_postgres(parsed)
        )
        _migrate(engine)
    except (SQLAlchemyError, OSError) as error:
        if parsed.get_backend_name() == "sqlite" and (refusal := in_words(error, of=str(parsed.database))):
            raise refusal from None
        raise _unreachable(parsed, error) from None  # the cause may quote the URL with its password
    return engine


def check(url: str) -> None:
    """Check that the database can be read now, without creating anything.

    Raises:
        TastemakerError: It can't be read; the message does not contain the password.
    """
    parsed = parse(url)
    try:
        sqlite = parsed.get_backend_name() == "sqlite"
        engine = _read_sqlite(parsed) if sqlite else _connect_postgres(parsed, poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text("SELECT version_num FROM alembic_version"))
    except (SQLAlchemyError, OSError) as error:
        raise _unreachable(parsed, error) from None  # the cause may quote the URL with its password


def overwrite_deleted(engine: Engine) -> None:
    """Remove deleted rows from the free pages and the write-ahead log of a SQLite database.

    Postgres removes them by itself.
    """
    if engine.dialect.name == "sqlite":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def parse(url: str) -> URL:
    """Parse a SQLAlchemy URL of a supported database.

    Raises:
        TastemakerError: It can't be parsed or is not supported; the message does not contain it.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise TastemakerError(
            "the database URL can't be read",
            fix="write sqlite:///path or postgresql+psycopg2://user:password@host/name",
        ) from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise TastemakerError(
            f"the database {parsed.drivername} is not supported",
            fix="use a URL that starts with sqlite or postgresql",
        )
    return parsed


def _connect_sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        name = unquote(urlsplit(url.database).path) if "uri" in url.query else url.database
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        use_wal(connection, BUSY_SECONDS)
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


def _read_sqlite(url: URL) -> Engine:
    """Open an existing file for reading; SQLite would create a missing one."""
    if not url.database or url.database == ":memory:":
        return create_engine(url, poolclass=NullPool)
    name = url.database if "uri" in url.query else Path(url.database).absolute().as_uri()
    url = url.set(database=name).update_query_dict({"uri": "true", "mode": "ro"})
    return create_engine(url, poolclass=NullPool)


def _connect_postgres(url: URL, **more: Any) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")
    try:
        return create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS}, **more
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise TastemakerError(
            f"the driver of {url.drivername} is not installed: {error}",
            fix="pip install 'tastemaker[postgres]'",
        ) from None


def _migrate(engine: Engine) -> None:
    """Migrate to HEAD in one transaction, under a lock; Alembic is not imported if the step is HEAD."""
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver opens no transaction for DDL by itself
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        revision = _revision(connection)
        if revision != HEAD:
            _upgrade(connection, revision)
        connection.commit()


def _revision(connection: Connection) -> str | None:
    """Return the database's step; None for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: Connection, revision: str | None) -> None:
    try:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError
    except ModuleNotFoundError:
        raise TastemakerError(
            f"the database is at step {revision or 'none'}, this Tastemaker needs {HEAD}",
            fix="pip install 'tastemaker[data]' and open it once, such as with: tastemaker leaderboard",
        ) from None
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    try:
        with _UPGRADES:
            command.upgrade(config, "head")
    except CommandError as error:
        raise TastemakerError(
            f"the database is at step {revision}, unknown to this Tastemaker, which ends at {HEAD}: {error}",
            fix="upgrade tastemaker, or use another database",
        ) from error


def _unreachable(url: URL, error: Exception) -> TastemakerError:
    reason = str(error.orig if isinstance(error, DBAPIError) and error.orig else error).strip()
    in_query = [str(value) for key, value in url.query.items() if "pass" in key.lower()]
    for secret in filter(None, [str(url.password or ""), *in_query]):
        reason = reason.replace(secret, "***")
    shown = url.set(query={}).render_as_string(hide_password=True)
    return TastemakerError(
        f"the database {shown} can't be used: {reason}",
        fix="start it, or set TASTEMAKER_DATABASE_URL to one that answers (unset: SQLite in the home folder)",
    )
