"""What one process of the controller answers with: the plan, the services, the log and the counters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from tastemaker.api.control_schemas import ControlReady, RunningExperiment
from tastemaker.api.schemas import HTTPError, Request
from tastemaker.controller.connection import NoAnswerError
from tastemaker.controller.control_metrics import ControlMetrics
from tastemaker.controller.crash_tier import trip_failing, tripped
from tastemaker.controller.list_request import ListRequest, of_request
from tastemaker.controller.list_source import ListSource
from tastemaker.controller.plan_routes import PlanRoutes
from tastemaker.controller.services import PLAIN, Services
from tastemaker.controller.shadows import Shadows
from tastemaker.experiments.assignment import Units
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.experiments.tripped import TripFiles
from tastemaker.serving.http.asgi import Reply
from tastemaker.serving.inference.predictor import new_request_id
from tastemaker.serving.runtime.metrics import Metrics
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.worker import Worker
from tastemaker.util.failure_log import FailureLog

WATCH_SECONDS = 1.0
"""Between two probes of the services."""

logger = logging.getLogger("tastemaker.controller")


@dataclass(eq=False)
class ControlWorker:
    """What one process answers with: see `assembly`. Its methods are for the event loop's thread."""

    worker: Worker
    """Writes feedback and changes to the log; it has no engine."""
    plans: PlanFile
    trips: TripFiles
    services: Services
    numbers: ControlMetrics
    lists: ListSource
    shadows: Shadows
    mixes: bool
    """Whether lists may be interleaved."""

    def __post_init__(self) -> None:
        """Put the plan in force."""
        self.own = ServingProcess(self.worker)
        """Answers what needs no service."""
        self._routes = self._applied()

    @property
    def metrics(self) -> Metrics:
        """The numbers of the process."""
        return self.worker.metrics

    @property
    def routes(self) -> PlanRoutes:
        """The routes of the plan in force."""
        if self.plans.current() is not self._routes.in_force:
            self._routes = self._applied()
        return self._routes

    def close(self) -> None:
        """Stop answering. Returns when every record is on disk."""
        self.shadows.close()
        self.services.close()
        self.worker.close()

    async def watch(self) -> None:
        """Probe the services, and trip the variants whose service fails, without end."""
        failures = FailureLog(logger, "the services are watched again", level=logging.ERROR)
        while True:
            try:
                await self.look()
            except Exception as error:  # a defect of ours: requests are answered all the same
                failures.failed("the services are not watched", error=error)
            else:
                failures.succeeded()
            await asyncio.sleep(WATCH_SECONDS)

    async def answer(self, asked: ListRequest, request_id: str) -> Reply:
        """Return a list, and copy the request to shadow variants.

        Args:
            asked: The request, as `list_request` makes it.
            request_id: The answer's id where the first service answers. Others get ids of their own, so that
                the log never has two answers of one id.
        """
        routes = self.routes
        route = routes.route(asked.units, asked.facts, self.trips.current())
        if route.missed is not None:
            self.numbers.missed(route.labels, route.missed.service, "tripped")
        given = await self.lists.given(routes, route, asked, request_id)
        for shadow in route.shadows:
            self.shadows.copy(asked, given.request_id, shadow, routes)
        return given.reply

    async def batch(self, requests: Sequence[Request]) -> Reply:
        """Return the lists of several requests, in their order, each as `answer` would."""
        replies = await asyncio.gather(*(self._one_of_batch(request) for request in requests))
        refused = (reply for reply in replies if reply.status != HTTPStatus.OK)
        lists = b'{"answers":[%b]}' % b",".join(reply.body for reply in replies)
        return next(refused, Reply(HTTPStatus.OK, lists))

    async def similar(self, target: bytes, user_id: str | None, request_id: str) -> Reply:
        """Return the answer of the service of a user's variant.

        Args:
            target: The path and the query.
            user_id: The user who will see the items; None for the default service.
            request_id: The request's id.

        Raises:
            HTTPError: 503, no service answers.
        """
        user = None
        if user_id is not None:
            (asked,) = self.worker.hidden([Request(user_id)])
            user = asked.user_id
        units = Units(user, None, None, request_id)
        route = self.routes.route(units, {"kind": "similar"}, self.trips.current())
        return await self._first_of([one.service for one in route.candidates], target, request_id)

    async def explain(self, target: bytes, request_id: str) -> Reply:
        """Return why an answer was what it was, from the first service that has it.

        Services of one home folder share the log. Others have logs of their own.

        Args:
            target: The path.
            request_id: This request's own id.

        Raises:
            HTTPError: 503, no service answers.
        """
        return await self._first_of(list(self.services.by_name), target, request_id)

    def ready(self) -> ControlReady:
        """Return the plan in force, and what does not work.

        Raises:
            HTTPError: 503, the plan names no default service.
        """
        routes = self.routes
        plan = routes.plan
        if plan.default is None:
            detail = "the experiments' plan names no default service; promote a version"
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, detail)
        is_tripped = tripped(plan, self.trips)
        experiments = [
            RunningExperiment(
                one.name,
                one.kind,
                one.epoch,
                one.killed,
                [
                    name
                    for experiment, name in is_tripped
                    if experiment == one.name and is_tripped[one.name, name]
                ],
            )
            for one in plan.experiments
        ]
        services = [one.status for one in self.services.by_name.values()]
        degraded = [f"{reason}: {words}" for reason, words in self.worker.health.degraded().items()]
        return ControlReady(routes.digest, plan.revision, experiments, services, degraded)

    async def look(self) -> None:
        """Probe the services, trip the variants whose service fails, and measure both."""
        await self.services.probe()
        plan = self.routes.plan
        trip_failing(plan, self.services.by_name, self.trips)
        up = {name: not one.is_down for name, one in self.services.by_name.items()}
        self.numbers.measured(up, tripped(plan, self.trips))

    def _applied(self) -> PlanRoutes:
        """Put the plan in force, and return its routes."""
        in_force = self.plans.current()
        self.services.apply(in_force.plan.services)
        routes = PlanRoutes(in_force, self.services.by_name, mixes=self.mixes)
        self.numbers.know(routes.plan)
        return routes

    async def _one_of_batch(self, request: Request) -> Reply:
        request_id = new_request_id()
        asked = of_request(self.worker, request, msgspec.json.encode(request), request_id)
        return await self.answer(asked, request_id)

    async def _first_of(self, names: Iterable[str], target: bytes, request_id: str) -> Reply:
        """Return the first answer of these services that is not "not found". Raises HTTPError (503)."""
        missing = None
        services = self.routes.services
        for name in names:
            try:
                reply = await services[name].look_up(target, request_id, PLAIN)
            except NoAnswerError:
                continue
            if reply.status != HTTPStatus.NOT_FOUND:
                return Reply(*reply)
            missing = Reply(*reply)
        if missing is None:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, "no service answers", retry_after=1)
        return missing
