"""The services of the plan in force, as one worker asks them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping

from tastemaker.api.control import ControlHeader, encode
from tastemaker.controller.connection import NoAnswerError
from tastemaker.controller.controlled_service import ControlledService
from tastemaker.controller.service_client import ClientLimits
from tastemaker.experiments.plan import PinnedService
from tastemaker.experiments.service_address import UNIX
from tastemaker.serving.inference.predictor import new_request_id

KEY = "TASTEMAKER_CONTROL_KEY"
"""Environment: the API key, of scope `control`, for services that are reached over the network."""
CLOSE_SECONDS = 5.0
"""How long a service that left the plan may answer what it was asked before."""
PLAIN = encode(ControlHeader())
"""The header of requests that no experiment assigned."""


class Services:
    """The services by name."""

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._services: dict[PinnedService, ControlledService] = {}
        self.by_name: Mapping[str, ControlledService] = {}

    def apply(self, pinned: Iterable[PinnedService]) -> None:
        """Ask these services from now on. One that did not change keeps its connections."""
        before = self._services
        self._services = {one: before.get(one) or self._opened(one) for one in pinned}
        self.by_name = {one.name: service for one, service in self._services.items()}
        for service in self._services.values():
            service.forget_answers()
        loop = asyncio.get_running_loop()
        for gone in before.keys() - self._services.keys():
            loop.call_later(CLOSE_SECONDS, before[gone].close)

    @property
    def trouble(self) -> str | None:
        """Which services do not answer, or answer with another version, in words; None if none."""
        found = []
        for name, service in self.by_name.items():
            if service.is_down:
                found.append(f"{name} does not answer")
            elif service.answers_with != service.pinned.version:
                found.append(f"{name} answers with version {service.answers_with}")
        return "; ".join(found) or None

    async def probe(self) -> None:
        """Ask each service whether it is ready."""
        await asyncio.gather(*(_probe(one) for one in self._services.values()))

    def close(self) -> None:
        """Close all connections."""
        for service in self._services.values():
            service.close()

    def _opened(self, pinned: PinnedService) -> ControlledService:
        key = None if pinned.address.startswith(UNIX) else os.environ.get(KEY)
        return ControlledService(pinned, self._limits, key)


async def _probe(service: ControlledService) -> None:
    try:
        await service.ask(b"/readyz", new_request_id(), PLAIN)
    except NoAnswerError:
        return
