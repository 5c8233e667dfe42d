"""A request for a list: as it is forwarded, assigned, and logged where no service answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tastemaker.api.schemas import RankRequest, Request, SessionRequest
from tastemaker.event_log.records import Kind
from tastemaker.experiments.assignment import Units
from tastemaker.serving.http.parsing import Decoder
from tastemaker.serving.runtime.worker import Worker, rank_as_request, session_as_request
from tastemaker.snapshot.canonical_ids import canonical

RECOMMEND, SESSION, RANK = b"/recommend", b"/session", b"/rank"
_read_request = Decoder(Request)
_read_session = Decoder(SessionRequest)
_read_rank = Decoder(RankRequest)


class ListRequest(NamedTuple):
    """A request for one list."""

    kind: Kind
    target: bytes
    """The path that it is forwarded to."""
    body: bytes
    """As it came."""
    request: Request
    """With canonical ids, and pseudonyms where those are used."""
    units: Units
    session: list[str] | None = None
    """The recent items of an anonymous user, oldest first."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known before the assignment: the named values of the context, and the kind."""
        context = self.request.context
        return {"kind": self.kind} if not isinstance(context, dict) else context | {"kind": self.kind}


def for_user(worker: Worker, body: bytes, request_id: str) -> ListRequest:
    """Return a request for a user's list.

    Args:
        worker: Gives the ids the form in which they are stored.
        body: A `Request` as JSON.
        request_id: The id of the request, 32 hexadecimal digits.

    Raises:
        HTTPError: 400 for an invalid body.
    """
    return of_request(worker, _read_request(body), body, request_id)


def of_request(worker: Worker, asked: Request, body: bytes, request_id: str) -> ListRequest:
    """Return a request for a user's list that was decoded already.

    Args:
        worker: Gives the ids the form in which they are stored.
        asked: The request, with ids as the caller sent them.
        body: The same request as JSON, which is what services get.
        request_id: The id of the request, 32 hexadecimal digits.
    """
    (request,) = worker.hidden([asked])
    units = Units(request.user_id, request.device_id, None, request_id)
    return ListRequest("recommend", RECOMMEND, body, request, units)


def for_session(worker: Worker, body: bytes, request_id: str) -> ListRequest:
    """Return a request for an anonymous session's list.

    Args:
        worker: Gives the ids the form in which they are stored.
        body: A `SessionRequest` as JSON.
        request_id: The id of the request, 32 hexadecimal digits.

    Raises:
        HTTPError: 400 for an invalid body.
    """
    asked = _read_session(body)
    (request,) = worker.hidden([session_as_request(asked, request_id)])
    session = asked.session_id
    if session is not None and worker.pseudonyms is not None:
        session = worker.pseudonyms.of(session)
    units = Units(None, request.device_id, session, request_id)
    return ListRequest(
        "session", SESSION, body, request, units, [canonical(each, worker.ids) for each in asked.items]
    )


def for_ranking(worker: Worker, body: bytes, request_id: str) -> ListRequest:
    """Return a request for the caller's own items in order.

    Args:
        worker: Gives the ids the form in which they are stored.
        body: A `RankRequest` as JSON.
        request_id: The id of the request, 32 hexadecimal digits.

    Raises:
        HTTPError: 400 for an invalid body.
    """
    (request,) = worker.hidden([rank_as_request(_read_rank(body))])
    units = Units(request.user_id, request.device_id, None, request_id)
    return ListRequest("rank", RANK, body, request, units)
