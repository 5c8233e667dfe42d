"""Which of a process's engines answers a request.

A router knows no model and no HTTP: a controller of experiments is a router that assigns users to variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tastemaker.api.schemas import Request
from tastemaker.event_log.records import Assignment
from tastemaker.serving.runtime.served_engine import ServedEngine


class Routed(NamedTuple):
    """The engine for a request, and why it is this one."""

    engine: ServedEngine
    assignment: Assignment | None = None
    """What is logged of the experiment; None where no experiment assigned a variant."""


class Router(Protocol):
    """Chooses an engine per request. Called on the event loop for each request: it must not wait."""

    @property
    def engines(self) -> Sequence[ServedEngine]:
        """All engines, at least one. The first answers requests that name no user."""

    def engine_for(self, request: Request) -> Routed:
        """Return the engine for a request, whose user is a pseudonym where pseudonyms are used."""


class SingleRouter:
    """The router of a process with one engine."""

    def __init__(self, engine: ServedEngine) -> None:
        self.engines = (engine,)
        self._routed = Routed(engine)

    def engine_for(self, request: Request) -> Routed:
        """Return the engine."""
        return self._routed
