"""Flows without a Prefect server: one process polls the database, and people answer by commands.

It has no page, no history of runs, and computes the evidence again after a start. The flows are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from tastemaker.errors import TastemakerError
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.flows.catalogue import FLOWS, pending_work
from tastemaker_pipelines.flows.flow import ApprovalAnswer, PendingWork, Seen, stamp_of

CHECK_SECONDS = 2.0
"""Seconds between two looks for changes."""


class StillPending(Exception):
    """Raised by a local host to leave a flow whose work is not at its end.

    Args:
        key: The key of the wait, which has the work's stamp.
        question: What a person is asked, in Markdown; empty if the flow waits for a time.
    """

    def __init__(self, key: str, question: str = "") -> None:
        super().__init__(key)
        self.key, self.question = key, question


class LocalHost:
    """Runs a flow in this process."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def once(self, name: str, step: Callable[[], str]) -> str:
        """Return the result of a step of the flow, which is kept until this process ends.

        Args:
            name: The step's name within the flow.
            step: Computes the result.
        """
        if name not in self._kept:
            self._kept[name] = step()
        return self._kept[name]

    def ask(self, question: str, key: str) -> ApprovalAnswer:
        """Leave the flow with a question, which a person answers by a command; never return.

        Args:
            question: What the person decides, in Markdown.
            key: The same for the same question, of lower case letters, digits and dashes.

        Raises:
            StillPending: Always, with the question.
        """
        raise StillPending(key, question)

    def wait(self, key: str) -> NoReturn:
        raise StillPending(key)


class LocalFlows:
    """The flows of a home folder, run in this process."""

    def __init__(self, workspace: Workspace, poll: timedelta, say: Callable[[str], None]) -> None:
        """Create the flows.

        Args:
            workspace: Of the home folder whose flows run.
            poll: Time between two looks at work that waits for a time.
            say: Called with each line for people: an end, a question, a failure.
        """
        self._workspace, self._poll, self._say = workspace, poll, say
        self._hosts: dict[tuple[str, int], LocalHost] = {}
        self._seen: dict[tuple[str, int], Seen] = {}

    def run_due(self, now: datetime) -> int:
        """Run each flow whose work is due, and return how many failed.

        Args:
            now: The current time, aware.
        """
        found = [
            work
            for work in pending_work(self._workspace)
            if work.is_due(self._seen.get((work.flow, work.number)), now, self._poll)
        ]
        return sum(not self._run(work) for work in found)

    def run(self) -> NoReturn:
        """Run flows whenever their work is due, until the process ends."""
        while True:
            self.run_due(datetime.now(UTC))
            time.sleep(CHECK_SECONDS)

    def _run(self, work: PendingWork) -> bool:
        """Run a flow, and return whether it did not fail; one that failed is run again after a poll."""
        key = (work.flow, work.number)
        host = self._hosts.setdefault(key, LocalHost())
        seen = Seen(work.stamp, datetime.now(UTC))
        try:
            self._say(FLOWS[work.flow].follow(self._workspace, work.number, host))
        except StillPending as left:
            seen = seen._replace(stamp=stamp_of(left.key))
            if left.question:
                self._say(f"{left.question}\n\nwaits for {work.waits_for}")
        except TastemakerError as error:
            seen = seen._replace(has_failed=True)
            self._say(f"{work.flow} {work.number} failed: {error}")
        self._seen[key] = seen
        return not seen.has_failed
