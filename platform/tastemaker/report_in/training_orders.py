"""Requests for trainings over HTTP: they are stored, and the orchestrator starts a run for each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import uuid4

from sqlalchemy import Engine

from tastemaker.api.schemas import HTTPError
from tastemaker.api.training_schemas import TrainingOrder, TrainingState
from tastemaker.errors import TastemakerError
from tastemaker.plugins.discovery import installed_names
from tastemaker.problem import ProblemSpec, load_problem
from tastemaker.settings import Settings
from tastemaker.trainings.enabled_models import takes_part
from tastemaker.trainings.requests import (
    HOURLY_LIMIT,
    WAITING,
    OtherRequestError,
    TooManyRequestsError,
    TrainingRequest,
    TrainingRequests,
    waiting_in_words,
)

KEY_HEADER = "Idempotency-Key"
MAX_KEY = 200
"""The most characters of an idempotency key."""
RETRY_SECONDS = 600


@dataclass(frozen=True)
class TrainingDesk:
    """Takes requests for trainings of a home folder's problem, and says what became of them."""

    settings: Settings
    engine: Engine

    def order(self, actor: str, order: TrainingOrder, key: str) -> TrainingState:
        """Store a request; one with the key of an earlier one is that.

        Args:
            actor: The name of the API key.
            order: Which models, and why.
            key: The caller's idempotency key; empty: none.

        Returns:
            The state of the request, which may have started or ended if it is an earlier one.

        Raises:
            HTTPError: 400, a model is unknown, or the key is too long or has another request; 429; 503.
        """
        if len(key) > MAX_KEY:
            detail = f"{KEY_HEADER} has {len(key)} characters, may have {MAX_KEY}"
            raise HTTPError(HTTPStatus.BAD_REQUEST, detail, field=KEY_HEADER, limit=MAX_KEY)
        self._check(order.models)
        try:
            stored = self._requests().add(order.models, actor, order.reason, key=key or uuid4().hex)
        except OtherRequestError as error:
            raise HTTPError(HTTPStatus.BAD_REQUEST, error.problem, field=KEY_HEADER) from None
        except TooManyRequestsError as error:
            raise HTTPError(
                HTTPStatus.TOO_MANY_REQUESTS, error.problem, limit=HOURLY_LIMIT, retry_after=RETRY_SECONDS
            ) from None
        return self._state(stored)

    def look_up(self, request_id: str) -> TrainingState:
        """Return the state of a request. Raises HTTPError (404)."""
        found = self._requests().get(request_id)
        if found is None:
            detail = f"there is no request {request_id[:100]!r} for a training"
            raise HTTPError(HTTPStatus.NOT_FOUND, detail, field="id")
        return self._state(found)

    def _requests(self) -> TrainingRequests:
        return TrainingRequests(self.engine, self._problem().name)

    def _problem(self) -> ProblemSpec:
        try:
            return load_problem(self.settings.problem)
        except TastemakerError as error:
            raise HTTPError(
                HTTPStatus.SERVICE_UNAVAILABLE, error.problem, retry_after=RETRY_SECONDS
            ) from None

    def _check(self, models: list[str]) -> None:
        """Raise HTTPError (400) for a name that is not an enabled model."""
        baseline = self._problem().baseline
        enabled = sorted(one for one in installed_names() if takes_part(one, self.settings.models, baseline))
        for name in models:
            if name not in enabled:
                detail = f"{name!r} is not an enabled model; those are {', '.join(enabled)}"
                raise HTTPError(HTTPStatus.BAD_REQUEST, detail, field="models", value=name)

    def _state(self, request: TrainingRequest) -> TrainingState:
        waits = ""
        if request.state == WAITING:
            waits = waiting_in_words(self._requests().looked_at(), datetime.now(UTC))
        return TrainingState(
            request.id,
            request.state,
            list(request.models),
            request.reason,
            request.requested_at,
            run_id=request.run_id,
            ended_at=request.ended_at,
            detail=request.problem_text or waits,
        )
