"""Copies of requests to variants whose answers no user sees, sent after the user has the answer.

They never delay a request and never fill the memory: beyond MOST_COPIES on their way, copies are dropped and
counted. A copy has the seed of its request, so that a stochastic model draws as it did for the user.
"""

from __future__ import annotations

import asyncio

from tastemaker.api.control import ControlHeader, encode
from tastemaker.controller.connection import NoAnswerError
from tastemaker.controller.control_metrics import ControlMetrics, CopyOutcome
from tastemaker.controller.controlled_service import ControlledService
from tastemaker.controller.list_request import ListRequest
from tastemaker.controller.plan_routes import PlanRoutes
from tastemaker.experiments.assignment import Assigned
from tastemaker.serving.inference.predictor import copied_request_id

MOST_COPIES = 100


class Shadows:
    """The copies that are on their way in one process."""

    def __init__(self, numbers: ControlMetrics) -> None:
        self._numbers = numbers
        self._on_their_way: set[asyncio.Task[None]] = set()

    def copy(self, asked: ListRequest, shadow_of: str, shadow: Assigned, routes: PlanRoutes) -> None:
        """Send a copy soon, unless too many are on their way.

        Args:
            asked: The request that a user's answer was given to.
            shadow_of: The id of that answer.
            shadow: The variant that gets the copy.
            routes: Of the plan in force.
        """
        if len(self._on_their_way) >= MOST_COPIES:
            self._count(shadow, "dropped")
            return
        header = ControlHeader(routes.assignment(shadow, shadow.variant), "shadow", shadow_of)
        task = asyncio.create_task(self._copied(asked, shadow, header, routes.services[shadow.service or ""]))
        self._on_their_way.add(task)
        task.add_done_callback(self._on_their_way.discard)

    def close(self) -> None:
        """Drop what is on its way."""
        for task in self._on_their_way:
            task.cancel()

    async def _copied(
        self, asked: ListRequest, shadow: Assigned, header: ControlHeader, service: ControlledService
    ) -> None:
        outcome: CopyOutcome = "answered"
        try:
            await service.ask(
                asked.target, copied_request_id(header.shadow_of or ""), encode(header), asked.body
            )
        except NoAnswerError:
            outcome = "failed"
        self._count(shadow, outcome)

    def _count(self, shadow: Assigned, outcome: CopyOutcome) -> None:
        self._numbers.copies(shadow.experiment, shadow.variant, shadow.service or "", outcome).inc()
