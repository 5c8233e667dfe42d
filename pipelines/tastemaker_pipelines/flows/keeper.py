"""Keeps one run of Prefect per piece of pending work, and wakes it when the work is due.

The metadata database says what is pending. So a run that was killed, failed or deleted is run again, and so
is one that waited for an answer that was given by a command.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Scheduled

from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.flows.catalogue import pending_work
from tastemaker_pipelines.flows.flow import PendingWork, Seen, stamp_of

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

CHECK_SECONDS = 5.0
"""Seconds between two looks for changes."""
logger = logging.getLogger("tastemaker.flows")


class RunKeeper:
    """Keeps the runs of a home folder's flows."""

    def __init__(
        self, workspace: Workspace, deployments: Mapping[str, UUID], name: str, poll: timedelta
    ) -> None:
        """Create the keeper. Runs that another process began before now are taken for dead.

        Args:
            workspace: Of the home folder whose flows run.
            deployments: Name of a flow -> the id of its deployment in Prefect.
            name: The deployments' name, which no other home folder's have.
            poll: Time between two looks at work that waits for a time, and from a failure to the next run.
        """
        self._workspace, self._deployments, self._name, self._poll = workspace, deployments, name, poll
        self._began_at = datetime.now(UTC)

    def run(self) -> NoReturn:
        """Keep the runs until the process ends."""
        with get_client(sync_client=True) as client:
            while True:
                self.keep(client, datetime.now(UTC))
                time.sleep(CHECK_SECONDS)

    def keep(self, client: SyncPrefectClient, now: datetime) -> None:
        """Create the runs that are missing, and wake those whose work is due.

        Args:
            client: A client of the Prefect server.
            now: The current time, aware.
        """
        for work in pending_work(self._workspace):
            run = client.create_flow_run_from_deployment(
                self._deployments[work.flow],
                name=f"{work.flow} {work.number}",
                parameters={"number": work.number},
                idempotency_key=f"{self._name}-{work.flow}-{work.number}",  # an existing run is returned
            )
            if self._is_due(work, run, now) and self._is_due_still(work, run, now):
                logger.info("%s %d: %s", work.flow, work.number, work.title)
                client.set_flow_run_state(run.id, Scheduled(name="Resuming"), force=True)

    def _is_due_still(self, work: PendingWork, run: FlowRun, now: datetime) -> bool:
        """Return whether work is due as it is now: its run may have changed it since it was read.

        To wake such a run would take the form away from the person who is answering it.
        """
        same = (one for one in pending_work(self._workspace) if one[:2] == work[:2])
        return any(self._is_due(one, run, now) for one in same)

    def _is_due(self, work: PendingWork, run: FlowRun, now: datetime) -> bool:
        """Return whether a run is to be run again."""
        state = run.state
        if state is None or state.is_scheduled():
            return False
        if state.is_paused():
            seen = Seen(stamp_of(state.state_details.pause_key or ""), state.timestamp)
            return work.is_due(seen, now, self._poll)
        if state.is_final():
            return now >= state.timestamp + self._poll
        return state.timestamp < self._began_at
