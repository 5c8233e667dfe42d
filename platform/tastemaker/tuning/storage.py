"""Storage of trials: Optuna's own tables, beside the metadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tastemaker.errors import TastemakerError
from tastemaker.storage.engine import BUSY_SECONDS
from tastemaker.util.atomic_files import sqlite_url
from tastemaker.util.file_lock import file_lock

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import Engine

    from tastemaker.settings import Settings

SCHEMA = "tuning"
"""Postgres schema of Optuna's tables, whose migrations would collide with ours."""


@contextmanager
def storage(settings: Settings, engine: Engine) -> Iterator[RDBStorage]:
    """Open the storage of trials: `tuning.db` in the home folder, or a schema of the metadata's Postgres.

    Args:
        settings: Where the home folder is.
        engine: Of the metadata database; whether it is SQLite decides which storage it is.

    Yields:
        Optuna's storage, which is closed at the end of the block.

    Raises:
        TastemakerError: It can't be opened or written. The message does not have the password.
    """
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    sqlite = engine.dialect.name == "sqlite"
    path = (settings.home / "tuning.db").resolve()
    connect: dict[str, Any] = {"timeout": BUSY_SECONDS} if sqlite else {"options": f"-csearch_path={SCHEMA}"}
    url = sqlite_url(path) if sqlite else engine.url.render_as_string(hide_password=False)
    opened: RDBStorage | None = None
    try:
        with file_lock(settings.home / "tuning" / ".open"):  # two that create the tables at once would fail
            if not sqlite:
                _make_schema(engine)
            opened = RDBStorage(url, engine_kwargs={"connect_args": connect})
        yield opened
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = str(getattr(cause, "orig", None) or type(error).__name__).strip().splitlines()[0]
        where = path if sqlite else engine.url.set(query={}).render_as_string(hide_password=True)
        raise TastemakerError(
            f"the trials can't be stored in {where}: {reason}",
            fix="free some space there"
            if sqlite
            else f"start it, and let its user create the schema {SCHEMA!r}: CREATE SCHEMA {SCHEMA}",
        ) from None  # the cause may quote the URL with its password
    finally:
        if opened is not None:
            opened.engine.dispose()


def _make_schema(engine: Engine) -> None:
    from sqlalchemy.schema import CreateSchema

    with engine.begin() as connection:
        connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
