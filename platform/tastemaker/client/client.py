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
    Feedback,
    FeedbackEvent,
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
from tastemaker.client.transport import Transport

T = TypeVar("T")


class Client:
    """A service's client. It keeps connections: make one, and use it from any thread.

    Lists are asked for once, since a page waits for them, and at once again where the connection broke. What
    must not be lost (feedback, items, users) is sent again while the service is away or asks to come back
    later: it does no harm there twice.
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
        """`timeout_seconds` is for one attempt; `retry_seconds` for all attempts at what must arrive."""
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
        """The version that answers. Raises ServiceError while there is none."""
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
        request_id: str | None = None,
    ) -> Answer:
        """k items for a user, best first. `request_id`: 32 hexadecimal digits of the caller's own."""
        asked = Request(user_id, k, context, _list(exclude), _list(candidates), diversity)
        return self._transport.call("POST", "/recommend", Answer, asked, request_id=request_id)

    def recommend_many(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer a request, in their order, whatever their number."""
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
        request_id: str | None = None,
    ) -> Answer:
        """Return k items for an anonymous user, given the items just viewed, oldest first."""
        asked = SessionRequest(list(items), k, _list(exclude), context, session_id)
        return self._transport.call("POST", "/session", Answer, asked, request_id=request_id)

    def rank(
        self,
        user_id: str,
        candidates: Sequence[str],
        k: int | None = None,
        *,
        context: Context | None = None,
        request_id: str | None = None,
    ) -> Answer:
        """The caller's own items in the best order for a user."""
        asked = RankRequest(user_id, list(candidates), k, context)
        return self._transport.call("POST", "/rank", Answer, asked, request_id=request_id)

    def similar(self, item_id: str, k: int = 10) -> SimilarAnswer:
        """The items most like one, most alike first."""
        return self._transport.call("GET", f"/similar/{quote(item_id, safe='')}?k={k}", SimilarAnswer)

    def explain(self, request_id: str) -> Explanation:
        """Why an answer was what it was, in words."""
        return self._transport.call("GET", f"/explain/{quote(request_id, safe='')}", Explanation)

    def feedback(self, events: Sequence[FeedbackEvent]) -> Receipt:
        """Returns once all are on the service's disk. Raises ServiceError if some may not be."""
        return self._insist("/feedback", [Feedback(part) for part in _parts(events)])

    def upsert_items(self, items: Sequence[ItemUpsert]) -> Receipt:
        """Make items known as they are from now on. Returns and raises as `feedback` does."""
        return self._insist("/items", [ItemUpserts(part) for part in _parts(items)])

    def upsert_users(self, users: Sequence[UserUpsert]) -> Receipt:
        """Make users known as they are from now on. Returns and raises as `feedback` does."""
        return self._insist("/users", [UserUpserts(part) for part in _parts(users)])

    def _insist(self, path: str, bodies: Sequence[msgspec.Struct]) -> Receipt:
        receipts = [self._transport.insist(path, Receipt, body, self._retry_seconds) for body in bodies]
        return Receipt(sum(one.accepted for one in receipts), sum(one.duplicates for one in receipts))


def _parts(changes: Sequence[T]) -> Iterator[list[T]]:
    """As many as the service takes at once."""
    for first in range(0, len(changes), MAX_CHANGES):
        yield list(changes[first : first + MAX_CHANGES])


def _list(ids: Sequence[str] | None) -> list[str] | None:
    return None if ids is None else list(ids)
