"""The messages by which trainings are requested over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

_Name = Annotated[str, Meta(min_length=1, max_length=100)]


class TrainingOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /train: which models are trained, and why."""

    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]
    """Why; it is recorded with each training."""
    models: Annotated[list[_Name], Meta(max_length=100)] = []
    """Names of enabled models; empty: all."""


class TrainingState(msgspec.Struct, frozen=True):
    """A request for trainings, and what became of it."""

    id: str
    """Of GET /train/{id}."""
    state: str
    """waiting, running, done or failed."""
    models: list[str]
    """Names of models; empty: all enabled ones."""
    reason: str
    requested_at: datetime
    run_id: str | None = None
    """The orchestrator's run; null until it has started."""
    ended_at: datetime | None = None
    detail: str = ""
    """Why it failed, or what it waits for."""
