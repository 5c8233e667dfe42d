"""What a caller may ask of the prediction service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self, TypeVar
from urllib.parse import quote

import msgspec

from tastemaker.api.schemas import (
    MAX_BATCH,
    MAX_CHANGES,
    Answer,
    BatchAnswer,
    BatchRequest,
    Context,
    Explanation,
    ExposureReport,
    ExposureReports,
    FeedbackEvent,
    FeedbackEvents,
    ItemUpsert,
    ItemUpserts,
    RankRequest,
    Ready,
    Receipt,
    Request,
    SessionRequest,
    SimilarAnswer,
    UserUpsert,
    UserUpserts,
)
from tastemaker.client.transport import ServiceError, Transport

T = TypeVar("T")
NO_PLAN = 404
"""The status of a controller while no experiment was ever started."""


class Client:
    """A client of the prediction service. It keeps connections open: create one, and use it from any thread.

    Requests for lists are sent once, since a page waits for them, and once more if the connection broke.
    Feedback, exposures, items and users are sent again while the service is unavailable or asks to retry
    later: the service counts a repeated event once.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_seconds: float = 2.0,
        retry_seconds: float = 30.0,
        connections: int = 10,
    ) -> None:
        """Prepare to call a service.

        Args:
            url: Where it listens, such as `http://localhost:3000`.
            key: An API key; None where the service needs none.
            timeout_seconds: For one attempt.
            retry_seconds: For all attempts to send feedback, items or users.
            connections: The most that are kept open.
        """
        self.url = url
        self._transport = Transport(url, key, timeout_seconds, connections)
        self._retry_seconds = retry_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def ready(self) -> Ready:
        """Return which version answers, and what does not work. Raises ServiceError while none does."""
        return self._transport.call("GET", "/readyz", Ready)

    def recommend(
        self,
        user_id: str,
        k: int = 10,
        *,
        context: Context | None = None,
        exclude: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        diversity: float | None = None,
        device_id: str | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Return k items for a user, best first.

        Args:
            user_id: The user; unknown ones are answered, too.
            k: The length of the list.
            context: Numbers for the model, in its order, or names with values for the log.
            exclude: Items not to show.
            candidates: The only items that may be shown; None for all.
            diversity: λ of the diversity stage in [0, 1]; None for the service's setting.
            device_id: The caller's own id of the device, which an experiment may assign.
            request_id: The caller's own id, 32 hexadecimal digits; None for a new one.

        Raises:
            ServiceError: If the service refuses or can't be reached.
        """
        asked = Request(user_id, k, context, _list(exclude), _list(candidates), diversity, device_id)
        return self._transport.call("POST", "/recommend", Answer, asked, request_id=request_id)

    def recommend_many(self, requests: Sequence[Request]) -> list[Answer]:
        """Return one answer per request, in their order. Any number of requests may be sent."""
        answers: list[Answer] = []
        for first in range(0, len(requests), MAX_BATCH):
            part = BatchRequest(list(requests[first : first + MAX_BATCH]))
            answers += self._transport.call("POST", "/recommend/batch", BatchAnswer, part).answers
        return answers

    def session(
        self,
        items: Sequence[str],
        k: int = 10,
        *,
        exclude: Sequence[str] | None = None,
        context: Context | None = None,
        session_id: str | None = None,
        device_id: str | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Return k items for an anonymous user, given the items just viewed.

        Args:
            items: The items just viewed, oldest first.
            k: The length of the list.
            exclude: Items not to show.
            context: As in `recommend`.
            session_id: Ties the session's requests together in the log.
            device_id: As in `recommend`.
            request_id: As in `recommend`.

        Raises:
            ServiceError: As in `recommend`.
        """
        asked = SessionRequest(list(items), k, _list(exclude), context, session_id, device_id)
        return self._transport.call("POST", "/session", Answer, asked, request_id=request_id)

    def rank(
        self,
        user_id: str,
        candidates: Sequence[str],
        k: int | None = None,
        *,
        context: Context | None = None,
        device_id: str | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """Return the caller's own items in the best order for a user.

        Args:
            user_id: The user who will see the items.
            candidates: The ids of the items to order.
            k: How many of them to return; None for all that may be shown.
            context: As in `recommend`.
            device_id: As in `recommend`.
            request_id: As in `recommend`.

        Raises:
            ServiceError: As in `recommend`.
        """
        asked = RankRequest(user_id, list(candidates), k, context, device_id)
        return self._transport.call("POST", "/rank", Answer, asked, request_id=request_id)

    def similar(self, item_id: str, k: int = 10, *, user_id: str | None = None) -> SimilarAnswer:
        """Return the items most similar to one, most similar first.

        Args:
            item_id: The id of the item that the others are to be like.
            k: The most items to return.
            user_id: The user who will see them: where several versions answer, it chooses one.

        Raises:
            ServiceError: As in `recommend`; 404 for an unknown item.
        """
        path = f"/similar/{quote(item_id, safe='')}?k={k}"
        if user_id is not None:
            path += f"&user_id={quote(user_id, safe='')}"
        return self._transport.call("GET", path, SimilarAnswer)

    def explain(self, request_id: str) -> Explanation:
        """Return the reasons for an answer that is in the log, in words."""
        return self._transport.call("GET", f"/explain/{quote(request_id, safe='')}", Explanation)

    def experiment_plan(self) -> bytes | None:
        """Return the plan of the experiments, as a controller has it in its file; None where there is none.

        Raises:
            ServiceError: If the controller can't be reached, or a service that is not one answers.
        """
        try:
            return self._transport.read("GET", "/experiments/plan")
        except ServiceError as error:
            if error.details is not None and error.details.status == NO_PLAN:
                return None
            raise

    def feedback(self, events: Sequence[FeedbackEvent]) -> Receipt:
        """Send events; return once all are on the service's disk. Raises ServiceError if some may not be."""
        return self._insist("/feedback", [FeedbackEvents(part) for part in _parts(events)])

    def expose(self, exposures: Sequence[ExposureReport]) -> Receipt:
        """Report which units saw which variant of a flag. Returns and raises as `feedback` does."""
        return self._insist("/exposures", [ExposureReports(part) for part in _parts(exposures)])

    def upsert_items(self, items: Sequence[ItemUpsert]) -> Receipt:
        """Send new and changed items. Returns and raises as `feedback` does."""
        return self._insist("/items", [ItemUpserts(part) for part in _parts(items)])

    def upsert_users(self, users: Sequence[UserUpsert]) -> Receipt:
        """Send new and changed users. Returns and raises as `feedback` does."""
        return self._insist("/users", [UserUpserts(part) for part in _parts(users)])

    def _insist(self, path: str, bodies: Sequence[msgspec.Struct]) -> Receipt:
        receipts = [self._transport.insist(path, Receipt, body, self._retry_seconds) for body in bodies]
        return Receipt(sum(one.accepted for one in receipts), sum(one.duplicates for one in receipts))


def _parts(changes: Sequence[T]) -> Iterator[list[T]]:
    """Yield parts that are as long as the service accepts."""
    for first in range(0, len(changes), MAX_CHANGES):
        yield list(changes[first : first + MAX_CHANGES])


def _list(ids: Sequence[str] | None) -> list[str] | None:
    return None if ids is None else list(ids)
