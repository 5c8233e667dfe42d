"""The table of the controller's endpoints: those of a service, and the plan's."""

from __future__ import annotations

from functools import wraps
from http import HTTPStatus
from urllib.parse import quote

import msgspec

from tastemaker.api import control_schemas, schemas
from tastemaker.api.control_schemas import ControlledServiceStatus, ControlReady, RunningExperiment
from tastemaker.api.schemas import (
    Answer,
    BatchAnswer,
    BatchRequest,
    Explanation,
    HTTPError,
    RankRequest,
    Request,
    SessionRequest,
    SimilarAnswer,
    SimilarQuery,
)
from tastemaker.controller.control_worker import ControlWorker
from tastemaker.controller.list_request import for_ranking, for_session, for_user
from tastemaker.serving.http.asgi import HTML, Reply
from tastemaker.serving.http.call import Call
from tastemaker.serving.http.openapi import EXAMPLES, Interface, document
from tastemaker.serving.http.parsing import Decoder, QueryReader, read_id
from tastemaker.serving.http.routes import ROUTES
from tastemaker.serving.http.routing import Route, RouteTable

ControlCall = Call[ControlWorker]
"""A request of the controller."""


async def _recommend(call: ControlCall) -> Reply:
    """Recommend k items to a user, best first, by the service of the user's variant."""
    asked = for_user(call.worker.worker, call.body, call.request_id)
    return await call.worker.answer(asked, call.request_id)


async def _recommend_batch(call: ControlCall) -> Reply:
    """Answer several requests at once, each as /recommend would.

    Each answer has a request id of its own.
    """
    return await call.worker.batch(_read_batch(call.body).requests)


async def _session(call: ControlCall) -> Reply:
    """Recommend k items to an anonymous session, by the items just looked at."""
    asked = for_session(call.worker.worker, call.body, call.request_id)
    return await call.worker.answer(asked, call.request_id)


async def _rank(call: ControlCall) -> Reply:
    """Rank the caller's own items for a user, best first."""
    asked = for_ranking(call.worker.worker, call.body, call.request_id)
    return await call.worker.answer(asked, call.request_id)


async def _similar(call: ControlCall) -> Reply:
    """Return the items most similar to an item, most similar first.

    With a user, the service of the user's variant answers; else the default service.
    """
    item_id = read_id("item_id", call.argument)
    query = _read_similar(call.query)
    target = f"/similar/{quote(item_id, safe='')}?{call.query.decode('latin-1')}"
    return await call.worker.similar(target.encode(), query.user_id, call.request_id)


async def _explain(call: ControlCall) -> Reply:
    """Explain in words why an answer was what it was."""
    explained = quote(read_id("request_id", call.argument), safe="")
    return await call.worker.explain(f"/explain/{explained}".encode(), call.request_id)


async def _plan(call: ControlCall) -> Reply:
    """Return the plan in force as it is in its file.

    Its digest is the ETag. With it, a shop's own code computes the same assignments.
    """
    in_force = call.worker.routes.in_force
    if in_force.content is None or in_force.digest is None:
        raise HTTPError(HTTPStatus.NOT_FOUND, "there is no plan: no experiment was started yet")
    return Reply(HTTPStatus.OK, in_force.content, headers=((b"etag", b'"%b"' % in_force.digest.encode()),))


async def _readyz(call: ControlCall) -> ControlReady:
    """Report the plan in force, and what does not work."""
    return call.worker.ready()


async def _page(call: ControlCall) -> Reply:
    """Show a page for people: the plan in force, the services, and how to call them."""
    from tastemaker.controller.home_page import html
    from tastemaker.serving.http.home_page import HEADERS

    return Reply(HTTPStatus.OK, html(call.process, CONTROL_ROUTES.all, INTERFACE), HTML, HEADERS)


async def _openapi(call: ControlCall) -> Reply:
    """Return this document."""
    return Reply(HTTPStatus.OK, document(CONTROL_ROUTES.all, INTERFACE))


def _of_service(path: str) -> Route[ControlCall]:
    """Return a service's endpoint for what needs no model: the controller's own worker answers."""
    route = next(one for one in ROUTES if one.path == path)

    @wraps(route.endpoint)
    async def endpoint(call: ControlCall) -> msgspec.Struct | Reply:
        own = Call(call.worker.own, call.body, call.argument, call.query, call.request_id, call.headers)
        return await route.endpoint(own)

    return Route(
        route.method,
        path,
        route.scope,
        endpoint,
        route.response,
        route.body,
        needs_model=route.needs_model,
        media=route.media,
        timeout_seconds=route.timeout_seconds,
    )


_read_batch = Decoder(BatchRequest)
_read_similar = QueryReader(SimilarQuery)

CONTROL_ROUTES: RouteTable[ControlCall] = RouteTable(
    (
        Route("POST", "/recommend", "recommend", _recommend, Answer, Request),
        Route("POST", "/recommend/batch", "recommend", _recommend_batch, BatchAnswer, BatchRequest),
        Route("POST", "/session", "recommend", _session, Answer, SessionRequest),
        Route("POST", "/rank", "recommend", _rank, Answer, RankRequest),
        Route("GET", "/similar/{item_id}", "recommend", _similar, SimilarAnswer, query=SimilarQuery),
        Route("GET", "/explain/{request_id}", "manage", _explain, Explanation),
        _of_service("/items"),
        _of_service("/users"),
        _of_service("/feedback"),
        _of_service("/exposures"),
        Route("GET", "/experiments/plan", "recommend", _plan),
        _of_service("/livez"),
        Route("GET", "/readyz", None, _readyz, ControlReady),
        _of_service("/metrics"),
        Route("GET", "/openapi.json", None, _openapi, needs_model=False),
        Route("GET", "/", None, _page, needs_model=False, media="text/html"),
    )
)

_VERSION = "20261123-060420-247687-40fe08d840cb"
INTERFACE = Interface(
    "Recommendations of the variants of experiments, and the feedback on them.",
    "/",
    (control_schemas, schemas),
    {
        **EXAMPLES,
        ControlReady: ControlReady(
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            7,
            [RunningExperiment("new-ranker", "ab", 0)],
            [ControlledServiceStatus("ranker-2", "ranker", _VERSION, up=True)],
        ),
    },
)
