"""The plan of the experiments, for a process that does not see its file."""

from __future__ import annotations

from tastemaker.client.client import Client
from tastemaker.experiments.plan_file import LOOK_SECONDS, LatestPlan, PlanInForce
from tastemaker.util.poller import Poller


class PlanUrl(LatestPlan):
    """The plan in force, as a controller gives it. Thread-safe.

    A thread asks for it, so that no caller waits. While the controller can't be reached, the last good plan
    stays in force. The files of enrolled units are not read: an experiment that is held keeps its units, and
    enrols new ones, too.
    """

    def __init__(self, client: Client, seconds: float = LOOK_SECONDS) -> None:
        """Ask for the plan, and again every so many seconds.

        Args:
            client: Of the controller.
            seconds: Between two questions.
        """
        super().__init__(client.experiment_plan, None)
        self.look()
        self._poller = Poller(self.look, seconds=seconds, name="experiments' plan")

    def current(self) -> PlanInForce:
        """Return the plan in force."""
        return self.in_force

    def close(self) -> None:
        """Ask no more."""
        self._poller.close()
