"""Failed backtests: the models that could not be evaluated, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, delete, insert, select

from tastemaker.errors import TastemakerError
from tastemaker.storage.tables import failed_backtests
from tastemaker.util.os_errors import in_words

NOT_FITTED = "it was evaluated, but can't be fitted on all data: "
"""Prefix of the reason of a model that failed after its backtest."""


class Failure(NamedTuple):
    """Model whose last backtest failed."""

    model: str
    reason: str
    """What failed, and the fix where one is known."""
    at: datetime


def reason_of(model: str, error: BaseException) -> str:
    """Return an error in words: a TastemakerError's message, else its type and text.

    Args:
        model: The model that failed.
        error: What it raised.
    """
    if isinstance(error, TastemakerError):
        return str(error)
    if (refusal := in_words(error)) is not None:
        return str(refusal)
    text = str(error).strip()
    return f"model {model} failed: {type(error).__name__}" + (f": {text}" if text else "")


def put(engine: Engine, problem: str, model: str, reason: str) -> None:
    """Record that a model's backtest failed, replacing an earlier record.

    Args:
        engine: Of the metadata database.
        problem: The problem's name.
        model: The model's name.
        reason: What failed, as the leaderboard shows it.
    """
    row = {"problem": problem, "model": model, "reason": reason, "failed_at": datetime.now(UTC)}
    with engine.begin() as connection:
        connection.execute(delete(failed_backtests).where(*_of(problem, model)))
        connection.execute(insert(failed_backtests).values(row))


def clear(engine: Engine, problem: str, model: str, *, fitted: bool) -> None:
    """Delete the record of a failed backtest.

    Args:
        engine: Of the metadata database.
        problem: The problem's name.
        model: The model's name.
        fitted: Whether the record of a failed fit on all data is deleted, too.
    """
    stale = delete(failed_backtests).where(*_of(problem, model))
    if not fitted:
        stale = stale.where(~failed_backtests.c.reason.startswith(NOT_FITTED, autoescape=True))
    with engine.begin() as connection:
        connection.execute(stale)


def load(engine: Engine, problem: str) -> tuple[Failure, ...]:
    """Return the models whose last backtest for a problem failed, by name.

    Args:
        engine: Of the metadata database.
        problem: The problem's name.
    """
    columns = failed_backtests.c.model, failed_backtests.c.reason, failed_backtests.c.failed_at
    mine = select(*columns).where(failed_backtests.c.problem == problem).order_by(failed_backtests.c.model)
    with engine.connect() as connection:
        return tuple(Failure(*row) for row in connection.execute(mine))


def _of(problem: str, model: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return failed_backtests.c.problem == problem, failed_backtests.c.model == model
