"""The table of a service's endpoints, from which the OpenAPI document is made too."""

from __future__ import annotations

import asyncio

from tastemaker.api.schemas import (
    Alive,
    Answer,
    BatchAnswer,
    BatchRequest,
    Explanation,
    ExposureReports,
    FeedbackEvents,
    ItemUpserts,
    RankRequest,
    Ready,
    Receipt,
    Request,
    SessionRequest,
    SimilarAnswer,
    SimilarQuery,
    UserUpserts,
)
from tastemaker.serving.http.asgi import HTML, TEXT, Reply
from tastemaker.serving.http.call import Call
from tastemaker.serving.http.control import read_control
from tastemaker.serving.http.parsing import Decoder, QueryReader, read_id
from tastemaker.serving.http.routing import Route, RouteTable
from tastemaker.serving.runtime.worker import Worker

ServiceCall = Call[Worker]
"""A request of a prediction service."""
DISK_SECONDS = 5
"""How long a caller waits for what is read from a disk or written to it."""


async def _recommend(call: ServiceCall) -> Answer:
    """Recommend k items to a user, best first."""
    control = read_control(call.headers, call.request_id)
    return await call.worker.recommend(_read_request(call.body), call.request_id, control)


async def _recommend_batch(call: ServiceCall) -> BatchAnswer:
    """Answer several requests at once, each as /recommend would.

    Each answer has a request id of its own.
    """
    control = read_control(call.headers, call.request_id, is_batch=True)
    return BatchAnswer(await call.worker.recommend_batch(_read_batch(call.body).requests, control))


async def _session(call: ServiceCall) -> Answer:
    """Recommend k items to an anonymous session, by the items just looked at."""
    control = read_control(call.headers, call.request_id)
    return await call.worker.session(_read_session(call.body), call.request_id, control)


async def _rank(call: ServiceCall) -> Answer:
    """Rank the caller's own items for a user, best first."""
    control = read_control(call.headers, call.request_id)
    return await call.worker.rank(_read_rank(call.body), call.request_id, control)


async def _similar(call: ServiceCall) -> SimilarAnswer:
    """Return the items most similar to an item, most similar first.

    Items are compared by the users who had both. An item that no user had yet is compared by its title,
    category and price.
    """
    item_id = read_id("item_id", call.argument)
    query = _read_similar(call.query)
    return call.worker.similar(item_id, query.k, query.user_id)


async def _explain(call: ServiceCall) -> Explanation:
    """Explain in words why an answer was what it was."""
    return await call.worker.explain(read_id("request_id", call.argument))


async def _items(call: ServiceCall) -> Receipt:
    """Store new and changed items, acknowledged once they are on disk.

    A new item may be shown within seconds; one that is sold out disappears as fast. Sending it again does no
    harm.
    """
    return await call.worker.upsert_items(_read_items(call.body).items)


async def _users(call: ServiceCall) -> Receipt:
    """Store new and changed users, acknowledged once they are on disk."""
    return await call.worker.upsert_users(_read_users(call.body).users)


async def _feedback(call: ServiceCall) -> Receipt:
    """Log what users did, acknowledged once it is on disk.

    Sending an event again does no harm: an `event_id` counts once.
    """
    return await call.worker.feedback(_read_feedback(call.body).events)


async def _exposures(call: ServiceCall) -> Receipt:
    """Log which units saw which variant of a flag, acknowledged once it is on disk.

    It is for experiments on the caller's own code; lists are logged with their variants anyway. Sending an
    exposure again does no harm: an `exposure_id` counts once.
    """
    return await call.worker.exposures(_read_exposures(call.body).exposures)


async def _page(call: ServiceCall) -> Reply:
    """Show a page for people: the version that answers, its health, and how to call it."""
    from tastemaker.serving.http.home_page import HEADERS, html

    return Reply(200, html(call.process, ROUTES), HTML, HEADERS)


async def _livez(call: ServiceCall) -> Alive:
    """Report that the process runs."""
    return Alive()


async def _readyz(call: ServiceCall) -> Ready:
    """Report the version that is loaded, and what does not work."""
    return call.worker.ready()


async def _metrics(call: ServiceCall) -> Reply:
    """Return the metrics that Prometheus scrapes."""
    return Reply(200, await asyncio.to_thread(call.worker.scraped), TEXT)


async def _openapi(call: ServiceCall) -> Reply:
    """Return this document."""
    from tastemaker.serving.http.openapi import document

    return Reply(200, document(ROUTES))


_read_request = Decoder(Request)
_read_batch = Decoder(BatchRequest)
_read_session = Decoder(SessionRequest)
_read_rank = Decoder(RankRequest)
_read_feedback = Decoder(FeedbackEvents)
_read_exposures = Decoder(ExposureReports)
_read_items = Decoder(ItemUpserts)
_read_users = Decoder(UserUpserts)
_read_similar = QueryReader(SimilarQuery)

ROUTES: tuple[Route[ServiceCall], ...] = (
    Route("POST", "/recommend", "recommend", _recommend, Answer, Request),
    Route("POST", "/recommend/batch", "recommend", _recommend_batch, BatchAnswer, BatchRequest),
    Route("POST", "/session", "recommend", _session, Answer, SessionRequest),
    Route("POST", "/rank", "recommend", _rank, Answer, RankRequest),
    Route("GET", "/similar/{item_id}", "recommend", _similar, SimilarAnswer, query=SimilarQuery),
    Route("GET", "/explain/{request_id}", "manage", _explain, Explanation, timeout_seconds=DISK_SECONDS),
    Route("POST", "/items", "manage", _items, Receipt, ItemUpserts, timeout_seconds=DISK_SECONDS),
    Route("POST", "/users", "manage", _users, Receipt, UserUpserts, timeout_seconds=DISK_SECONDS),
    Route("POST", "/feedback", "feedback", _feedback, Receipt, FeedbackEvents, timeout_seconds=DISK_SECONDS),
    Route(
        "POST", "/exposures", "feedback", _exposures, Receipt, ExposureReports, timeout_seconds=DISK_SECONDS
    ),
    Route("GET", "/livez", None, _livez, Alive, needs_model=False),
    Route("GET", "/readyz", None, _readyz, Ready),
    Route("GET", "/metrics", None, _metrics, timeout_seconds=DISK_SECONDS, media="text/plain"),
    Route("GET", "/openapi.json", None, _openapi, needs_model=False),
    Route("GET", "/", None, _page, needs_model=False, media="text/html"),
)

SERVICE_ROUTES = RouteTable(ROUTES)
