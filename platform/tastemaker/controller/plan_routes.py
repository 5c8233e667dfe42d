"""A plan as the controller acts by it: which service a request goes to, and what its record says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tastemaker.event_log.records import Assignment
from tastemaker.experiments.assignment import Assigned, Units
from tastemaker.experiments.plan import PlannedExperiment
from tastemaker.experiments.plan_file import PlanInForce
from tastemaker.experiments.tripped import TrippedExperiment


class Candidate(NamedTuple):
    """A service that may answer a request."""

    service: str
    """Its name."""
    variant: str | None
    """The variant that it is the service of; None for a request without an experiment."""


class PlannedRoute(NamedTuple):
    """Where a request goes."""

    experiment: PlannedExperiment | None
    assigned: Assigned | None
    candidates: Sequence[Candidate]
    """The services that may answer, the assigned one first."""
    shadows: Sequence[Assigned] = ()
    """The variants that get a copy."""
    missed: Candidate | None = None
    """The assigned service, where its variant lost its traffic."""

    @property
    def labels(self) -> tuple[str, str]:
        """The experiment and the assigned variant, for metrics; empty without one."""
        one = self.assigned
        return ("", "") if one is None else (one.experiment, one.variant)

    def assignment(self, served: str | None, plan: str | None) -> Assignment | None:
        """Return what is logged; None where no experiment assigned a variant.

        Args:
            served: The variant whose service answers; None for a list of no variant.
            plan: The digest of the plan in force.
        """
        one = self.assigned
        if one is None:
            return None
        digest = None if plan is None else plan[:16]
        return Assignment(one.experiment, one.epoch, one.variant, one.probability, served, digest, one.unit)


class PlanRoutes:
    """Routes of one plan."""

    def __init__(self, in_force: PlanInForce) -> None:
        self.in_force, self.plan, self.digest = in_force, in_force.plan, in_force.digest
        self._assigner = in_force.assigner
        self._experiments = {one.name: one for one in self.plan.experiments}
        self._controls = {one.name: _control(one) for one in self.plan.experiments}
        self._default = () if self.plan.default is None else (Candidate(self.plan.default, None),)

    def route(
        self, units: Units, facts: Mapping[str, Any], trips: Mapping[str, TrippedExperiment]
    ) -> PlannedRoute:
        """Return where a request goes.

        Args:
            units: Its ids, as pseudonyms where those are used.
            facts: What is known of it before the assignment.
            trips: The experiments with variants that lost their traffic.
        """
        chosen, shadows = None, []
        for assigned in self._assigner.assign(units, facts):
            if assigned.service is None:  # a flag of the shop's own code
                continue
            experiment = self._experiments[assigned.experiment]
            if experiment.kind == "shadow":
                if assigned.variant != experiment.control:
                    shadows.append(assigned)
            else:
                chosen = assigned
        if chosen is None:
            return PlannedRoute(None, None, self._default, shadows)
        own = Candidate(chosen.service or "", chosen.variant)
        control = self._controls[chosen.experiment]
        experiment = self._experiments[chosen.experiment]
        if _is_tripped(trips.get(chosen.experiment), chosen):
            return PlannedRoute(experiment, chosen, (control,), shadows, missed=own)
        candidates = (own,) if own.service == control.service else (own, control)
        return PlannedRoute(experiment, chosen, candidates, shadows)


def _control(experiment: PlannedExperiment) -> Candidate:
    service = next(one.service for one in experiment.variants if one.name == experiment.control)
    return Candidate(service or "", experiment.control)


def _is_tripped(tripped: TrippedExperiment | None, assigned: Assigned) -> bool:
    return tripped is not None and tripped.epoch == assigned.epoch and assigned.variant in tripped.trips
