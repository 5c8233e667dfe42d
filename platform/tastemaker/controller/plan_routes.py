"""A plan as the controller acts by it: which service a request goes to, and what its record says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tastemaker.controller.controlled_service import ControlledService
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

    assigned: Assigned | None
    candidates: Sequence[Candidate]
    """The services that may answer, the assigned one first."""
    shadows: Sequence[Assigned] = ()
    """The variants that get a copy."""
    missed: Candidate | None = None
    """The assigned service, where its variant lost its traffic."""
    mixed: Sequence[Candidate] = ()
    """The two services whose lists are interleaved, control's first."""

    @property
    def labels(self) -> tuple[str, str]:
        """The experiment and the assigned variant, for metrics; empty without one."""
        one = self.assigned
        return ("", "") if one is None else (one.experiment, one.variant)


class PlanRoutes:
    """Routes of one plan."""

    def __init__(
        self, in_force: PlanInForce, services: Mapping[str, ControlledService], *, mixes: bool
    ) -> None:
        """Compile a plan.

        Args:
            in_force: The plan with its digest, and what assigns units by it.
            services: Its services by name: a request keeps them where the plan changes in the meantime.
            mixes: Whether lists may be interleaved; if not, the units of such experiments are in none.
        """
        self.in_force, self.plan, self.digest = in_force, in_force.plan, in_force.digest
        self.services = services
        self._assigner = in_force.assigner
        if not mixes:
            refused = [one.name for one in self.plan.experiments if one.kind == "interleaving"]
            self._assigner = self._assigner.without(refused)
        self._experiments = {one.name: one for one in self.plan.experiments}
        self._default = () if self.plan.default is None else (Candidate(self.plan.default, None),)
        self._controls = {
            one.name: control for one in self.plan.experiments if (control := _control(one)) is not None
        }

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
            return PlannedRoute(None, self._default, shadows)
        experiment, control = self._experiments[chosen.experiment], self._controls[chosen.experiment]
        own = Candidate(chosen.service or "", chosen.variant)
        if _is_tripped(trips.get(experiment.name), experiment, chosen.variant):
            return PlannedRoute(chosen, (control,), shadows, missed=own)
        if experiment.kind == "interleaving":
            others = [one for one in experiment.variants if one.name != experiment.control]
            mixed = (control, *(Candidate(one.service or "", one.name) for one in others))
            return PlannedRoute(chosen, (control,), shadows, mixed=mixed)
        candidates = (own,) if own.service == control.service else (own, control)
        return PlannedRoute(chosen, candidates, shadows)

    def assignment(self, assigned: Assigned | None, served: str | None) -> Assignment | None:
        """Return what is logged of an assignment; None for none.

        Args:
            assigned: The unit's variant.
            served: The variant whose service answers; None for a list of no variant, or of two.
        """
        if assigned is None:
            return None
        name, epoch, variant, probability, _, unit = assigned
        digest = None if self.digest is None else self.digest[:16]
        return Assignment(name, epoch, variant, probability, served, digest, unit)


def _control(experiment: PlannedExperiment) -> Candidate | None:
    service = next(one.service for one in experiment.variants if one.name == experiment.control)
    return None if service is None else Candidate(service, experiment.control)


def _is_tripped(tripped: TrippedExperiment | None, experiment: PlannedExperiment, variant: str) -> bool:
    """Return whether a variant lost its traffic, also that of a bandit's units from earlier epochs."""
    return tripped is not None and tripped.epoch == experiment.epoch and variant in tripped.trips
