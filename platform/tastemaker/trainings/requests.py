"""The table `training_requests`: trainings that persons and programs asked for, until their runs have ended.

Whoever asks writes a row; the orchestrator's sensor starts a run for it, so that nothing is lost while the
orchestrator is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from sqlalchemy import Engine, RowMapping, func, select, update

from tastemaker.errors import TastemakerError
from tastemaker.storage.tables import queue_lengths, training_requests
from tastemaker.storage.upserts import insert_new

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
QUEUE = "training_requests"
"""Name of the queue whose length the orchestrator records at each look."""
LATE = timedelta(minutes=5)
"""An orchestrator that looked for requests longer ago than this is away: it looks each half minute."""
HOURLY_LIMIT = 30
"""Requests that one actor may make per hour."""


class TooManyRequestsError(TastemakerError):
    """Error of an actor that has made all of its requests of the hour."""


class OtherRequestError(TastemakerError):
    """Error of an idempotency key that belongs to a request of other content."""


@dataclass(frozen=True)
class TrainingRequest:
    """A request; the fields are the columns of the table."""

    id: str
    problem: str
    models: tuple[str, ...]
    actor: str
    reason: str
    state: str
    run_id: str | None
    problem_text: str | None
    requested_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class TrainingRequests:
    """The requests for trainings of one problem."""

    engine: Engine
    problem: str

    def add(self, models: Sequence[str], actor: str, reason: str, *, key: str) -> TrainingRequest:
        """Store a request, and return it; a request with the key of an earlier one returns that.

        Args:
            models: Names of the models; all enabled ones if empty.
            actor: Who asks; the hourly limit is per actor.
            reason: Why, in words; recorded.
            key: The actor's own name of the request, which makes sending it again harmless.

        Raises:
            TooManyRequestsError: The actor has made HOURLY_LIMIT requests in the last hour.
            OtherRequestError: The key belongs to a request for other models, or with another reason.
        """
        name = f"{self.problem}\0{actor}\0{key}"
        row = {
            "id": blake2b(name.encode(), digest_size=16).hexdigest(),
            "problem": self.problem,
            "models": sorted(set(models)),
            "actor": actor,
            "reason": reason,
            "state": WAITING,
            "requested_at": datetime.now(UTC),
        }
        if (known := self.get(str(row["id"]))) is None:
            self._check_rate(actor)
            with self.engine.begin() as connection:
                insert_new(connection, training_requests, [row])
            known = self.get(str(row["id"]))
        assert known is not None
        if (list(known.models), known.reason) != (row["models"], reason):
            raise OtherRequestError(
                f"the idempotency key {key!r} belongs to the request {known.id}, whose content is another",
                fix="send another key with another request",
            )
        return known

    def get(self, request_id: str) -> TrainingRequest | None:
        """Return a request by its id; None if there is none."""
        found = self._select(training_requests.c.id == request_id)
        return found[0] if found else None

    def open(self) -> list[TrainingRequest]:
        """Return the requests that wait or run, oldest first."""
        return self._select(training_requests.c.state.in_((WAITING, RUNNING)))

    def set_state(
        self, request_id: str, state: str, *, run_id: str | None = None, problem_text: str | None = None
    ) -> None:
        """Record what became of a request.

        Args:
            request_id: The id that `add` gave the request.
            state: running, done or failed.
            run_id: The orchestrator's run that trains the models; None before there is one.
            problem_text: Why it failed; None: it did not.
        """
        ended_at = datetime.now(UTC) if state in (DONE, FAILED) else None
        values = {"state": state, "run_id": run_id, "problem_text": problem_text, "ended_at": ended_at}
        with self.engine.begin() as connection:
            connection.execute(
                update(training_requests).where(training_requests.c.id == request_id).values(values)
            )

    def looked_at(self) -> datetime | None:
        """Return when the orchestrator looked for requests last; None: it never did."""
        query = select(queue_lengths.c.observed_at).where(queue_lengths.c.queue == QUEUE)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def _select(self, which: object) -> list[TrainingRequest]:
        mine = (
            select(training_requests)
            .where(training_requests.c.problem == self.problem, which)  # type: ignore[arg-type]
            .order_by(training_requests.c.requested_at, training_requests.c.id)
        )
        with self.engine.connect() as connection:
            return [_request(row) for row in connection.execute(mine).mappings()]

    def _check_rate(self, actor: str) -> None:
        since = datetime.now(UTC) - timedelta(hours=1)
        recent = training_requests.c.actor == actor, training_requests.c.requested_at > since
        query = select(func.count()).select_from(training_requests).where(*recent)
        with self.engine.connect() as connection:
            count = connection.execute(query).scalar_one()
        if count >= HOURLY_LIMIT:
            raise TooManyRequestsError(
                f"{actor} has made {count} requests in the last hour, may make {HOURLY_LIMIT}",
                fix="wait for those that run; one request may name several models",
            )


def waiting_in_words(looked_at: datetime | None, now: datetime) -> str:
    """Return what a waiting request waits for.

    Args:
        looked_at: When the orchestrator looked for requests last.
        now: The current time, aware.
    """
    if looked_at is None:
        return "no orchestrator has looked for requests yet: start dagster dev, or the daemon"
    if now - looked_at > LATE:
        at = looked_at.strftime("%Y-%m-%d %H:%M UTC")
        return f"the orchestrator looked for requests last at {at}: start dagster dev, or the daemon"
    return "the orchestrator starts a run within a minute"


def _request(row: RowMapping) -> TrainingRequest:
    return TrainingRequest(**{**row, "models": tuple(row["models"])})
