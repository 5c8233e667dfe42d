"""What the controller says of itself: the messages that services do not have."""

from __future__ import annotations

from typing import Literal

import msgspec


class ControlledServiceStatus(msgspec.Struct, frozen=True):
    """A service of the plan, as the worker that was asked sees it."""

    name: str
    model: str
    version: str
    """What the plan names."""
    up: bool
    """Whether it answers."""
    answers_with: str | msgspec.UnsetType = msgspec.UNSET
    """The version of its last answer, where that is another one."""


class RunningExperiment(msgspec.Struct, frozen=True):
    """An experiment of the plan."""

    name: str
    kind: str
    epoch: int
    killed: bool = False
    """Whether all its units get the default service."""
    tripped: list[str] = []
    """Variants whose service failed, so that control answers in its place."""


class ControlReady(msgspec.Struct, frozen=True):
    """GET /readyz: the plan in force, and what does not work."""

    plan: str | None
    """SHA-256 of the plan's file in hexadecimal, also the ETag of /experiments/plan."""
    revision: int
    experiments: list[RunningExperiment]
    services: list[ControlledServiceStatus]
    degraded: list[str] = []
    """What does not work though lists are answered, each after its reason: `services: B does not answer`."""
    status: Literal["ready"] = "ready"
