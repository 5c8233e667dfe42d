"""Reads about users and sessions that outlive a short outage of the database.

Each request asks the database. If it does not answer, what it answered less than a minute ago holds; what it
did not answer is refused, so that an outage never opens a page.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import anyio
from anyio import to_thread
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from tastemaker.util.failure_log import FailureLog

ANSWER_SECONDS = 60.0
"""How long an answer holds while the database is away."""
DEADLINE_SECONDS = 3.0
"""How long an answer is waited for."""
RETRY_SECONDS = 1.0
"""How long the database is not asked after it failed to answer."""
_MOST_ANSWERS = 10_000

logger = logging.getLogger("tastemaker.dashboard")
Answer = TypeVar("Answer")


class DatabaseAway(Exception):
    """The database does not answer, and there is no recent answer."""


class _Known(NamedTuple):
    answer: Any
    at: float


class LastAnswers:
    """The database of users, with its last answers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._retry_at = 0.0
        self._failures = FailureLog(logger, "the database of users answers again")

    async def ask(self, question: str, read: Callable[[Connection], Answer]) -> Answer:
        """Return what the database answers, else its last answer.

        Args:
            question: Equal for equal questions.
            read: Asks the database; it is called in a thread.

        Raises:
            DatabaseAway: There is no answer that is less than ANSWER_SECONDS old.
        """
        try:
            answer = await self.run(lambda: self._read(read))
        except DatabaseAway:
            known = self._known.get(question)
            if known is None or time.monotonic() - known.at > ANSWER_SECONDS:
                raise
            answer = known.answer
        else:
            self._remember(question, answer)
        return answer

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Return the result of work with the database, which is done in a thread.

        Raises:
            DatabaseAway: It did not answer within DEADLINE_SECONDS, or did not shortly before.
        """
        if time.monotonic() < self._retry_at:
            raise DatabaseAway
        try:
            with anyio.fail_after(DEADLINE_SECONDS):
                done = await to_thread.run_sync(work, abandon_on_cancel=True)
        except (SQLAlchemyError, OSError) as error:  # TimeoutError is an OSError
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._failures.failed("the database of users does not answer", detail=type(error).__name__)
            raise DatabaseAway from None
        self._failures.succeeded()
        return done

    def drop(self, question: str) -> None:
        """Forget the last answer to a question."""
        self._known.pop(question, None)

    def _read(self, read: Callable[[Connection], Answer]) -> Answer:
        with self._engine.connect() as connection:
            return read(connection)

    def _remember(self, question: str, answer: object) -> None:
        self._known[question] = _Known(answer, time.monotonic())
        self._known.move_to_end(question)
        if len(self._known) > _MOST_ANSWERS:
            self._known.popitem(last=False)
