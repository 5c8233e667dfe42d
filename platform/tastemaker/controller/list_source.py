"""Where a list comes from: a service, the lists of two services mixed, or the static list."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from tastemaker.api.control import Booking, ControlHeader, encode
from tastemaker.api.schemas import Answer
from tastemaker.controller.connection import NoAnswerError
from tastemaker.controller.control_metrics import STATIC, ControlMetrics
from tastemaker.controller.controlled_service import ControlledService
from tastemaker.controller.list_request import ListRequest
from tastemaker.controller.mixed_list import mixed_answer
from tastemaker.controller.own_records import OwnRecords
from tastemaker.controller.plan_routes import Candidate, PlannedRoute, PlanRoutes
from tastemaker.event_log.records import Stage
from tastemaker.serving.http.asgi import Reply
from tastemaker.serving.inference.fallback_reasons import MODEL_SHORT
from tastemaker.serving.inference.predictor import new_request_id


class AnswerHead(msgspec.Struct, gc=False):
    """What the controller reads of a service's answer."""

    request_id: str
    version: str
    stage: Stage = "model"
    fallback: str | None = None


class ServiceList(NamedTuple):
    """A list of a service."""

    reply: Reply
    head: AnswerHead


class GivenList(NamedTuple):
    """A list that a user gets."""

    reply: Reply
    request_id: str
    """The answer's."""


_read_head = msgspec.json.Decoder(AnswerHead).decode
_read_answer = msgspec.json.Decoder(Answer).decode
_encode = msgspec.json.Encoder().encode


class ListSource:
    """Asks services for lists, in one process."""

    def __init__(self, numbers: ControlMetrics, records: OwnRecords) -> None:
        """Prepare to ask services for lists.

        Args:
            numbers: Count who answered, and who did not.
            records: Writes the records of lists that no single service logs: static and mixed ones.
        """
        self._numbers, self._records = numbers, records

    async def given(
        self, routes: PlanRoutes, route: PlannedRoute, asked: ListRequest, request_id: str
    ) -> GivenList:
        """Return a list: of the assigned variant's service, else of control's, else the static one.

        Args:
            routes: Of the plan in force.
            route: Which services may answer the request, by that plan.
            asked: The request, as `list_request` makes it.
            request_id: The answer's id where the first service answers.
        """
        if route.mixed and not asked.request.diversity:
            mixed = await self._mixed(routes, route, asked, request_id)
            if mixed is not None:
                return mixed
            return self._static(routes, route, asked, new_request_id())
        for candidate in route.candidates:
            reply = await self._asked(routes, route, candidate, asked, request_id)
            if isinstance(reply, ServiceList):
                return GivenList(reply.reply, reply.head.request_id)
            if reply is not None:
                return GivenList(reply, request_id)
            request_id = new_request_id()
        return self._static(routes, route, asked, request_id)

    async def _asked(
        self,
        routes: PlanRoutes,
        route: PlannedRoute,
        candidate: Candidate,
        asked: ListRequest,
        request_id: str,
        log: Booking = "request",
    ) -> ServiceList | Reply | None:
        """Return a service's list, or its refusal; None if it gave neither, which is counted."""
        service, name = routes.services[candidate.service], candidate.service
        if service.is_down:
            self._numbers.missed(route.labels, name, "down")
            return None
        control = encode(ControlHeader(routes.assignment(route.assigned, candidate.variant), log))
        start = time.perf_counter()
        try:
            reply = await service.ask(asked.target, request_id, control, asked.body)
            self._numbers.observe(name, time.perf_counter() - start)
            if reply.status != HTTPStatus.OK:
                return Reply(*reply)
            head = _read_head(reply.body)
        except (NoAnswerError, msgspec.DecodeError) as error:
            service.note(fell_back=True)
            reason = error.reason if isinstance(error, NoAnswerError) else "refused"
            self._numbers.missed(route.labels, name, reason)
            return None
        self._book(service, route, head)
        return ServiceList(Reply(*reply), head)

    def _book(self, service: ControlledService, route: PlannedRoute, head: AnswerHead) -> None:
        """Count a service's list."""
        pinned = service.pinned
        service.answers_with = head.version
        service.note(fell_back=head.stage != "model" and head.fallback not in (None, MODEL_SHORT))
        self._numbers.answers(*route.labels, pinned.name).inc()
        if head.version != pinned.version:
            self._numbers.wrong_versions(*route.labels, pinned.name).inc()

    async def _mixed(
        self, routes: PlanRoutes, route: PlannedRoute, asked: ListRequest, request_id: str
    ) -> GivenList | None:
        """Return the mixed list of both variants; one whole where the other gave none; None without any."""
        start = time.monotonic()
        replies = await asyncio.gather(
            *(self._asked(routes, route, one, asked, request_id, "none") for one in route.mixed)
        )
        lists: dict[str, Answer] = {}
        for candidate, reply in zip(route.mixed, replies, strict=True):
            if isinstance(reply, Reply):
                return GivenList(reply, request_id)
            if reply is not None and candidate.variant is not None:
                lists[candidate.variant] = _read_answer(reply.reply.body)
        if not lists:
            return None
        answer, teams = mixed_answer(lists, asked.request.k, request_id)
        served = next(iter(lists)) if len(lists) == 1 else None
        assignment = routes.assignment(route.assigned, served)
        self._records.mixed(asked, answer, teams, assignment, time.monotonic() - start)
        return GivenList(Reply(HTTPStatus.OK, _encode(answer)), answer.request_id)

    def _static(
        self, routes: PlanRoutes, route: PlannedRoute, asked: ListRequest, request_id: str
    ) -> GivenList:
        names = [one.service for one in route.candidates]
        model = routes.services[names[0]].pinned.model if names else None
        assignment = routes.assignment(route.assigned, None)
        answer = self._records.static(asked, request_id, model, assignment)
        self._numbers.answers(*route.labels, STATIC).inc()
        return GivenList(Reply(HTTPStatus.OK, _encode(answer)), request_id)
