"""Where trials are kept: Optuna's own tables, beside the metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tastemaker.data.locks import locked
from tastemaker.errors import TastemakerError
from tastemaker.storage.engine import BUSY_SECONDS

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import Engine

    from tastemaker.settings import Settings

SCHEMA = "tuning"
"""Of Optuna's tables in Postgres: they have migrations of their own, which would collide with ours."""


def open_storage(settings: Settings, engine: Engine) -> RDBStorage:
    """`tuning.db` in the home folder, or the schema `tuning` of the metadata's Postgres."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    if engine.dialect.name == "sqlite":
        url = f"sqlite:///{(settings.home / 'tuning.db').resolve()}"
        connect: dict[str, Any] = {"timeout": BUSY_SECONDS}
    else:
        url = engine.url.render_as_string(hide_password=False)
        connect = {"options": f"-csearch_path={SCHEMA}"}
    try:
        with locked(settings.home / "tuning" / ".open"):  # two that create the tables at once would fail
            _make_schema(engine)
            return RDBStorage(url, engine_kwargs={"connect_args": connect})
    except SQLAlchemyError as error:
        raise TastemakerError(
            f"the trials can't be kept in {engine.url.render_as_string(hide_password=True)}: "
            f"{type(error).__name__}",
            fix=f"let its user create the schema {SCHEMA!r}, or create it: CREATE SCHEMA {SCHEMA}",
        ) from None  # the cause may quote the URL with its password


def _make_schema(engine: Engine) -> None:
    from sqlalchemy.schema import CreateSchema

    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
