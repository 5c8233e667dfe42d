"""What the parent asks of the child process that trains, and what the child answers."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from tastemaker.trainings.records import Cost


class Job(NamedTuple):
    """One step of a training, or reading the data before it."""

    step: Literal["data", "backtest", "version"]
    model: str = ""


class Progressed(NamedTuple):
    """Progress of a backtest."""

    done: int
    of: int


class Finished(NamedTuple):
    """The end of a job."""

    result: Any
    """The number of events, the Backtest or the Version; the error if it failed."""
    is_new: bool
    """Whether something was fitted."""
    cost: Cost
