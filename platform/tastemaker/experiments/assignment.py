"""Assignment: which units are in which experiments, and which variant each gets, by plan and unit alone.

    bucket(salt, unit) = (first 8 bytes of SHA-256(salt ‖ 0x1F ‖ unit), big-endian, · 1,000,000) >> 64

    holdout     bucket(holdout.salt, unit) < share                        -> "holdout"
    namespace   bucket(namespace.salt, unit) in the experiment's claim    else "elsewhere"
    enrolment   bucket(salt + "/enrol", unit) < enrolment                 else "not_enrolled"
    variant     bucket(salt + "/variant/" + epoch, unit) in [start, end)  else "no_variant"

The epoch is the experiment's. A bandit's epochs enrol buckets of their own: there it is the epoch in whose
buckets the unit is, so that it keeps its variant when the shares change.

Each coordinate has a salt of its own, so they are independent: who is enrolled says nothing about the
variant, and a raised enrolment moves no unit from one variant to another. It is arithmetic of integers with a
hash that databases have, too.

The order of the questions: whether the experiment is killed, whether the request has a unit, whether a person
forced it; then holdout, targeting, namespace, enrolment and variant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from copy import copy
from pathlib import Path
from typing import Literal, NamedTuple

from tastemaker.experiments.coordinate import Coordinate, bucket, forced_key
from tastemaker.experiments.enrolled_units import EnrolledUnits
from tastemaker.experiments.plan import ControlPlan, EpochDraw, Namespace, PlannedExperiment
from tastemaker.experiments.plan_checks import check_plan
from tastemaker.experiments.targeting import Facts, compiled

__all__ = ["Assigned", "Assigner", "AssignmentOutcome", "Reason", "Units", "bucket", "forced_key"]

Reason = Literal[
    "assigned",
    "forced",
    "killed",
    "no_unit",
    "holdout",
    "targeting",
    "elsewhere",
    "not_enrolled",
    "no_variant",
]
"""Why a unit has a variant or has none. `elsewhere`: another experiment has its bucket of the namespace, or
none has, or the unit is forced into another."""


class Units(NamedTuple):
    """The ids of a request by unit: pseudonyms where the log has them; None or empty where it has none."""

    user: str | None = None
    device: str | None = None
    session: str | None = None
    request: str | None = None


class Assigned(NamedTuple):
    """A unit's variant in one experiment."""

    experiment: str
    epoch: int
    variant: str
    probability: float | None
    """The variant's share of the buckets that have a variant; None where a person forced it."""
    service: str | None
    """The name of the service of this variant; None for a flag of the shop's own code."""
    unit: str
    """The id that was assigned."""


class AssignmentOutcome(NamedTuple):
    """What one experiment of the plan decided, and why."""

    experiment: str
    reason: Reason
    assigned: Assigned | None = None


class Assigner:
    """Assigns units by one plan. It does not change, so threads may share it."""

    def __init__(self, plan: ControlPlan, folder: Path) -> None:
        """Compile a plan.

        Args:
            plan: What assigns units: its experiments, their buckets and variants.
            folder: The plan's folder, in which its files of enrolled units are.

        Raises:
            TastemakerError: The plan contradicts itself, or a file of enrolled units can't be read.
        """
        check_plan(plan)
        self._plan = plan
        self._holdouts = tuple(
            (
                Units._fields.index(one.unit),
                Coordinate(one.salt, [(0, one.share, True)]),
                frozenset(one.namespaces or [namespace.name for namespace in plan.namespaces]),
            )
            for one in plan.holdouts
        )
        self._arrange(tuple(_Compiled(one, folder) for one in plan.experiments))

    def without(self, names: Collection[str]) -> Assigner:
        """Return an assigner by the same plan in which these experiments are killed, too."""
        other = copy(self)
        other._arrange(tuple(one.as_killed() if one.name in names else one for one in self._experiments))
        return other

    def assign(self, units: Units, facts: Facts) -> tuple[Assigned, ...]:
        """Return the variants of a request, at most one per namespace, in no particular order.

        Args:
            units: The request's ids.
            facts: The request's named context values, and `kind`, the kind of request.
        """
        held_out = self._held_out(units) if self._holdouts else ()
        found = []
        for place, surfaces, others, single in self._groups:
            unit = units[place]
            if not unit:
                continue
            in_bytes = unit.encode()
            for surface in surfaces if held_out else others:
                assigned = surface.assigned(unit, in_bytes, facts, surface.name in held_out)
                if assigned is not None:
                    found.append(assigned)
            if held_out:
                continue
            for admits, enrolled, limits, salted, edge, below, above in single:  # the parts, without calls
                if admits is not None and not admits(facts):
                    continue
                if enrolled is not None and unit not in enrolled:
                    continue
                for limited, first, end in limits:
                    hashed = limited()
                    hashed.update(in_bytes)
                    if not first <= hashed.digest() < end:
                        break
                else:
                    hashed = salted()
                    hashed.update(in_bytes)
                    chosen = below if hashed.digest() < edge else above
                    if chosen is not None:
                        found.append(_new(Assigned, chosen + (unit,)))  # noqa: RUF005
        return tuple(found)

    def explain(self, units: Units, facts: Facts) -> tuple[AssignmentOutcome, ...]:
        """Return what each experiment decides about a request, in the plan's order, and why.

        Args:
            units: The request's ids.
            facts: The request's named context values, and `kind`, the kind of request.
        """
        held_out = self._held_out(units)
        return tuple(self._explained(one, units, facts, held_out) for one in self._experiments)

    def explain_one(self, name: str, units: Units, facts: Facts) -> AssignmentOutcome | None:
        """Return what one experiment decides about a request, and why.

        Args:
            name: The experiment's name.
            units: The request's ids.
            facts: The request's named context values, and `kind`, the kind of request.

        Returns:
            None if the plan has no such experiment.
        """
        experiment = next((one for one in self._experiments if one.name == name), None)
        if experiment is None:
            return None
        return self._explained(experiment, units, facts, self._held_out(units))

    def _arrange(self, experiments: tuple[_Compiled, ...]) -> None:
        surfaces = {one.name: _Surface(one, experiments) for one in self._plan.namespaces}
        self._experiments = experiments
        self._surface_of = {one.name: surfaces[one.namespace] for one in experiments}
        self._groups = [
            _group(place, [one for one in surfaces.values() if one.unit == place and one.running])
            for place in range(len(Units._fields))
        ]

    def _held_out(self, units: Units) -> Collection[str]:
        """Return the names of the namespaces in which the request is held out."""
        held_out: frozenset[str] = frozenset()
        for place, coordinate, namespaces in self._holdouts:
            unit = units[place]
            if unit and coordinate.owner(unit.encode()):
                held_out |= namespaces
        return held_out

    def _explained(
        self, experiment: _Compiled, units: Units, facts: Facts, held_out: Collection[str]
    ) -> AssignmentOutcome:
        surface = self._surface_of[experiment.name]
        unit = units[surface.unit]
        if experiment.killed:
            return AssignmentOutcome(experiment.name, "killed")
        if not unit:
            return AssignmentOutcome(experiment.name, "no_unit")
        forced = surface.forced_into(unit)
        if forced is not None and forced.experiment == experiment.name:
            return AssignmentOutcome(experiment.name, "forced", forced)
        if surface.name in held_out:
            return AssignmentOutcome(experiment.name, "holdout")
        if experiment.admits is not None and not experiment.admits(facts):
            return AssignmentOutcome(experiment.name, "targeting")
        in_bytes = unit.encode()
        if forced is not None or surface.claims.owner(in_bytes) is not experiment:
            return AssignmentOutcome(experiment.name, "elsewhere")
        if experiment.draw_of(unit, in_bytes) is None:
            return AssignmentOutcome(experiment.name, "not_enrolled")
        assigned = experiment.assigned(unit, in_bytes)
        return AssignmentOutcome(experiment.name, "assigned" if assigned else "no_variant", assigned)


_Chosen = tuple[str, int, str, float | None, str | None]
"""The fields of `Assigned` before the unit."""
_new = tuple.__new__
"""_new(Assigned, chosen + (unit,)) takes half the time of Assigned(*chosen, unit)."""


_Salted = Callable[[], "hashlib._Hash"]


_Single = tuple[
    Callable[[Facts], bool] | None,
    EnrolledUnits | None,
    list[tuple[_Salted, bytes, bytes]],
    _Salted,
    bytes,
    _Chosen | None,
    _Chosen | None,
]
"""An experiment of two variants that is alone in its namespace: its targeting; its units while it is held;
the hashes of claim and enrolment, each with its first digest and the one after the last; the hash of the
variants, the digest that divides them, and who is below and above it. To unpack a named tuple takes twice
the time."""


class _Compiled:
    """An experiment, prepared for many units."""

    def __init__(self, plan: PlannedExperiment, folder: Path) -> None:
        self.name, self.namespace, self.killed = plan.name, plan.namespace, plan.killed
        self.claim = plan.claim
        self.admits = compiled(plan.targeting)
        services = {one.name: one.service for one in plan.variants}
        self.forced: dict[str, _Chosen] = {
            key: (plan.name, plan.epoch, name, None, services[name]) for key, name in plan.forced.items()
        }
        self.enrolled = (
            None if plan.enrolled is None or plan.killed else EnrolledUnits(folder / plan.enrolled, plan.salt)
        )
        self.enrolment = Coordinate(
            f"{plan.salt}/enrol",
            [
                (one.first, one.end, _variants(plan, one, services))
                for one in plan.draws
                if one.first < one.end
            ],
        )
        """Its owners are the variant coordinates of the epochs."""

    def as_killed(self) -> _Compiled:
        """Return this experiment with all its units on the default."""
        other = copy(self)
        other.killed = True
        return other

    def draw_of(self, unit: str, in_bytes: bytes) -> Coordinate[_Chosen] | None:
        """Return the variants of the epoch that a unit is enrolled in; None if it is in none."""
        if self.enrolled is not None and unit not in self.enrolled:
            return None
        return self.enrolment.owner(in_bytes)

    def assigned(self, unit: str, in_bytes: bytes) -> Assigned | None:
        """Return what a unit of the experiment's claim gets; None if it is not enrolled or has no variant."""
        draw = self.draw_of(unit, in_bytes)
        chosen = None if draw is None else draw.owner(in_bytes)
        return None if chosen is None else _new(Assigned, chosen + (unit,))  # noqa: RUF005


def _variants(
    plan: PlannedExperiment, draw: EpochDraw, services: Mapping[str, str | None]
) -> Coordinate[_Chosen]:
    buckets = sum(end - start for start, end in draw.variants.values())
    return Coordinate(
        f"{plan.salt}/variant/{draw.epoch}",
        [
            (start, end, (plan.name, draw.epoch, name, (end - start) / buckets, services[name]))
            for name, (start, end) in draw.variants.items()
        ],
    )


class _Surface:
    """A namespace: which of its experiments has a unit."""

    def __init__(self, namespace: Namespace, experiments: tuple[_Compiled, ...]) -> None:
        self.name, self.salt = namespace.name, namespace.salt
        self.unit = Units._fields.index(namespace.unit)
        self.running = [one for one in experiments if one.namespace == namespace.name and not one.killed]
        self.claims = Coordinate(
            namespace.salt, [(start, end, one) for one in self.running for start, end in one.claim]
        )
        self.forced = {key: chosen for one in self.running for key, chosen in one.forced.items()}
        self.only = None if self.claims.edges else self.claims.owners[0]
        """The experiment that claims all buckets."""

    @property
    def single(self) -> _Single | None:
        """The only experiment, if it has two variants, one range of each coordinate, and forces no unit."""
        if len(self.running) != 1 or self.forced:
            return None
        (experiment,) = self.running
        found = [(one.salted, one.only_range) for one in (self.claims, experiment.enrolment) if one.edges]
        limits = [(salted, *only) for salted, only in found if only is not None]
        draws = [one for one in experiment.enrolment.owners if one is not None]
        if len(limits) < len(found) or len(draws) != 1 or len(draws[0].edges) != 1:
            return None
        (draw,) = draws
        (edge,), (below, above) = draw.edges, draw.owners
        return experiment.admits, experiment.enrolled, limits, draw.salted, edge, below, above

    def forced_into(self, unit: str) -> Assigned | None:
        """Return what a person forced a unit into; None if it is not forced."""
        chosen = self.forced.get(forced_key(self.salt, unit)) if self.forced else None
        return None if chosen is None else Assigned(*chosen, unit)

    def assigned(self, unit: str, in_bytes: bytes, facts: Facts, is_held_out: bool) -> Assigned | None:
        """Return what a unit gets in this namespace."""
        if (forced := self.forced_into(unit)) is not None:
            return forced
        if is_held_out:
            return None
        experiment = self.only or self.claims.owner(in_bytes)
        if experiment is None or (experiment.admits is not None and not experiment.admits(facts)):
            return None
        return experiment.assigned(unit, in_bytes)


class _Group(NamedTuple):
    """The namespaces of one kind of unit."""

    place: int
    """Of the unit in `Units`."""
    surfaces: list[_Surface]
    others: list[_Surface]
    """Those that are not in the last field."""
    single: list[_Single]


def _group(place: int, surfaces: list[_Surface]) -> _Group:
    found = [(one, one.single) for one in surfaces]
    others = [surface for surface, single in found if single is None]
    return _Group(place, surfaces, others, [single for _, single in found if single is not None])
