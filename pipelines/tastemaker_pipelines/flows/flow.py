"""What a flow is, and what it needs of the process that runs it.

The state of a flow's work is in the metadata database, never in the flow. A flow that was killed is run again
from its first line, and finds what is done.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple, NoReturn, Protocol

from tastemaker.errors import TastemakerError
from tastemaker.workflows.workspace import Workspace


class ApprovalAnswer(NamedTuple):
    """What a person decided."""

    approve: bool
    by: str
    """Who."""
    reason: str


class FlowHost(Protocol):
    """The process that runs a flow: within a Prefect server, or without one."""

    def once(self, name: str, step: Callable[[], str]) -> str:
        """Return the result of a step of the flow, which is kept: after a kill, it is not computed again.

        Args:
            name: The step's name within the flow.
            step: Computes the result.
        """

    def ask(self, question: str, key: str) -> ApprovalAnswer:
        """Wait for a person's answer, by leaving the flow: it is run again when there is one.

        Args:
            question: What the person decides, in Markdown.
            key: The same for the same question, of lower case letters, digits and dashes.

        Returns:
            The answer, once there is one; before, the call does not return.
        """

    def wait(self, key: str) -> NoReturn:
        """Leave the flow, which is run again when its work is due.

        Args:
            key: Different for each wait, of lower case letters, digits and dashes.
        """


class Seen(NamedTuple):
    """What a flow knew of its work when it was left."""

    stamp: str
    at: datetime
    has_failed: bool = False


class PendingWork(NamedTuple):
    """Work of a flow that is not at its end."""

    flow: str
    """The flow's name."""
    number: int
    """The work's number."""
    title: str
    stamp: str
    """Another one after each change."""
    waits_for: str
    """In words: a person, with the command to run, or a time."""
    due_at: datetime | None
    """When it is due; None: with a change, or by polls."""
    is_polled: bool = False
    """Whether it is due at each poll, without a change."""

    def is_due(self, seen: Seen | None, now: datetime, poll: timedelta) -> bool:
        """Return whether the flow has something to do.

        Args:
            seen: What the flow knew when it was left; None: it has not run.
            now: The current time, aware.
            poll: Time between two polls.
        """
        if seen is None or seen.stamp != self.stamp:
            return True
        if self.is_polled or seen.has_failed:
            return now >= seen.at + poll
        return self.due_at is not None and now >= self.due_at


class FlowDefinition(NamedTuple):
    """A flow."""

    name: str
    description: str
    """What it does, in a sentence."""
    pending: Callable[[Workspace], list[PendingWork]]
    """Return its work that is not at its end."""
    follow: Callable[[Workspace, int, FlowHost], str]
    """Do what is due of the work of a number, and leave by the host, or return the end in words."""


def ask_until_recorded(
    host: FlowHost, question: str, stamp: Callable[[], str], record: Callable[[ApprovalAnswer], object]
) -> None:
    """Ask a person until an answer is recorded, by this flow or by a command.

    Args:
        host: The process that runs the flow.
        question: What the person decides, in Markdown.
        stamp: Return the work's stamp.
        record: Record an answer. Raises TastemakerError for one that can't be recorded.
    """
    first, shown = stamp(), question
    for attempt in count():
        answer = host.ask(shown, wait_key(first, str(attempt)))
        if stamp() != first:
            return
        try:
            record(answer)
            return
        except TastemakerError as error:
            if stamp() != first:
                raise
            shown = f"**The answer was not recorded: {error.problem}**\n\n{question}"


def wait_key(stamp: str, suffix: str) -> str:
    """Return the key of a wait, from which `stamp_of` reads the stamp.

    Args:
        stamp: The work's stamp, without two dashes in a row.
        suffix: What sets this wait apart from others with the same stamp: a number or a time.
    """
    return f"{stamp}--{suffix}"


def stamp_of(key: str) -> str:
    """Return the stamp in the key of a wait."""
    return key.partition("--")[0]


def leave(host: FlowHost, stamp: str, now: datetime) -> NoReturn:
    """Leave the flow until its work is due.

    Args:
        host: The process that runs the flow.
        stamp: The work's stamp, after the change of which the flow is run again.
        now: The current time, aware.
    """
    host.wait(wait_key(stamp, f"{now:%Y%m%d%H%M%S%f}"))
