"""What is stored about an experiment, read at once: the page, the terminal and reports show the same.

Statistics do not belong here: looks, guardrail checks and forecasts are computed and stored elsewhere. Where
the units are not divided as planned there is no effect, only why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, and_, func, select

from tastemaker.experiments.agreement import ForecastOutcome
from tastemaker.experiments.analysis.awaited import awaited_words
from tastemaker.experiments.design import Design
from tastemaker.experiments.lifecycle import audit
from tastemaker.experiments.lifecycle.audit import Change
from tastemaker.experiments.lifecycle.guards import MOST_UNCHECKED, read_facts
from tastemaker.experiments.lifecycle.next_actions import NextAction, next_actions
from tastemaker.experiments.lifecycle.records import Experiment, read_experiment, read_experiments
from tastemaker.storage.tables import (
    experiment_forecasts,
    guardrail_checks,
    learned_lists,
    look_effects,
    looks,
    namespaces,
    shadow_figures,
)

UNGUARDED_KINDS = ("interleaving", "shadow")
"""Kinds whose variants have no units of their own."""
_OVER = ("decided", "archived")
_ROLES = ("primary", "secondary", "guardrail", "exploratory")
_WITHOUT_LOOK = {
    "draft": "It is a draft: it has not started.",
    "ready": "It is ready: it has not started.",
    "running": "It runs; no look at its result was taken yet.",
    "holding": "It takes no new units; no look at its result was taken yet.",
    "rolled_back": "It was rolled back before a look at its result was taken.",
}


@dataclass(frozen=True)
class ExperimentListing:
    """An experiment in a list."""

    experiment: Experiment
    look: Row[Any] | None
    """Its newest look; None: none was taken in this epoch."""
    looks_taken: int
    """Planned looks in this epoch."""
    next_actions: Sequence[NextAction]
    """What a person may do, and why not yet; empty in a list where it is over."""

    @property
    def design(self) -> Design:
        """The design in force."""
        return self.experiment.design

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        if self.look is not None:
            return str(self.look.sentence)
        if self.experiment.kind == "rollout" and self.experiment.is_active:
            return "It brings a version into production: guardrails decide, and no look is taken."
        return _WITHOUT_LOOK.get(self.experiment.state, "It is over; no look at its result was taken.")

    @property
    def step(self) -> str:
        """The enrolment, such as `step 2 of 4: 5 % of the units`; empty before the start."""
        if not self.experiment.enrolment:
            return ""
        share = f"{self.experiment.enrolment / 10_000:g} % of the units"
        steps = self.design.steps
        if self.experiment.enrolment not in steps:
            return share
        return f"step {steps.index(self.experiment.enrolment) + 1} of {len(steps)}: {share}"

    @property
    def look_of(self) -> str:
        """The looks, such as `9 of at most 14`: one that comes late passes several planned ones at once."""
        return f"{self.looks_taken} of at most {self.design.looks}"


@dataclass(frozen=True)
class ExperimentResult(ExperimentListing):
    """An experiment with all that its epoch in force has shown."""

    unit: str
    """What is assigned, such as user."""
    read_at: datetime
    looks: Sequence[Row[Any]]
    """Of the epoch in force, the oldest first."""
    effects: Sequence[Row[Any]]
    """Of the newest look, in the order of roles, metrics and variants; none where `is_invalid`."""
    checks: Sequence[Row[Any]]
    """The newest check of each guardrail and variant in this epoch."""
    changes: Sequence[Change]
    """All changes, the oldest first."""
    forecasts: Sequence[ForecastOutcome]
    """Of this epoch, beside what came."""
    shadows: Sequence[Row[Any]]
    """Figures of variants whose answers no user saw, in this epoch."""
    learned: Sequence[Row[Any]]
    """Lists that the versions of the variants learned from, in this epoch."""

    @property
    def is_invalid(self) -> bool:
        """Whether the newest look found that its figures can't be believed."""
        return self.look is not None and self.look.verdict == "invalid"

    @property
    def mature_units(self) -> int:
        """Units whose window is over, of all variants."""
        return 0 if self.look is None else sum(self.look.units.values())

    @property
    def waiting(self) -> list[str]:
        """The types of events that keep units from counting, in words."""
        return (
            [] if self.look is None else [awaited_words(one) for one in self.look.details.get("waiting", ())]
        )

    @property
    def crossed_share(self) -> float | None:
        """Share of the units that were seen in two variants; None without units."""
        seen = 0 if self.look is None else self.mature_units + self.look.pending_units
        return self.look.crossed_units / seen if self.look is not None and seen else None

    @property
    def checked_at(self) -> datetime | None:
        """When a guardrail was checked last in this epoch."""
        return max((one.at for one in self.checks), default=None)

    @property
    def is_unguarded(self) -> bool:
        """Whether guardrails should be checked now, and no process does it."""
        if not self.experiment.is_active or self.experiment.kind in UNGUARDED_KINDS:
            return False
        return self.checked_at is None or self.read_at - self.checked_at > MOST_UNCHECKED

    @property
    def stale(self) -> list[Row[Any]]:
        """Guardrail checks without current data: they had none, or no process checks any more."""
        return [one for one in self.checks if self.is_unguarded or one.verdict == "stale"]

    def whole(self, *, is_adjusted: bool) -> list[Row[Any]]:
        """Return the effects over all units: raw, or adjusted for what units did before."""
        return [one for one in self.effects if not one.slice and one.is_adjusted is is_adjusted]

    def sliced(self, name: str) -> list[Row[Any]]:
        """Return the effects of slices such as `day=3`, in the order of their values."""
        found = [one for one in self.effects if one.slice.startswith(f"{name}=")]
        return sorted(found, key=lambda one: (one.metric, one.variant, _slice_order(one.slice)))

    def concerns(self) -> list[str]:
        """Return what casts doubt on the figures, in words; empty: nothing does."""
        return list(_concerns(self))


def read_listings(engine: Engine, now: datetime | None = None) -> list[ExperimentListing]:
    """Return all experiments, the newest first.

    Args:
        engine: The metadata database.
        now: When it is, which next actions may depend on; None: the current time.
    """
    with engine.connect() as connection:
        return [
            ExperimentListing(*found, [] if found[0].state in _OVER else _next(connection, found[0], now))
            for found in _with_looks(connection, read_experiments(connection))
        ]


def read_result(engine: Engine, name: str, now: datetime | None = None) -> ExperimentResult:
    """Return an experiment's result.

    Args:
        engine: The metadata database.
        name: The experiment's name.
        now: As in `read_listings`.

    Raises:
        TastemakerError: There is no experiment of this name.
    """
    with engine.connect() as connection:
        ((one, look, taken),) = _with_looks(connection, [read_experiment(connection, name)])
        epoch = (name, one.epoch)
        unit = connection.execute(select(namespaces.c.unit).where(namespaces.c.name == one.namespace))
        return ExperimentResult(
            one, look, taken, _next(connection, one, now),
            unit=unit.scalar_one(),
            read_at=now or datetime.now(UTC),
            looks=_of_epoch(connection, looks, epoch, "number"),
            effects=_effects(connection, one.design, look),
            checks=_newest_checks(connection, epoch),
            changes=audit.read(connection, name),
            forecasts=_forecasts(connection, epoch),
            shadows=_of_epoch(connection, shadow_figures, epoch, "variant", "metric"),
            learned=_of_epoch(connection, learned_lists, epoch, "variant", "learned_in", "from_version"),
        )  # fmt: skip


def read_forecasts(engine: Engine) -> list[ForecastOutcome]:
    """Return the forecasts of all experiments beside what came, the experiment that began last first."""
    with engine.connect() as connection:
        return _forecasts(connection)


def _forecasts(connection: Connection, epoch: tuple[str, int] | None = None) -> list[ForecastOutcome]:
    c = experiment_forecasts.c
    statement = select(*(c[one] for one in ForecastOutcome._fields))
    if epoch is not None:
        statement = statement.where(c.experiment == epoch[0], c.epoch == epoch[1])
    order = (c.made_at.desc(), c.experiment, c.epoch.desc(), c.variant, c.method)
    return [ForecastOutcome(*row) for row in connection.execute(statement.order_by(*order))]


def _next(connection: Connection, experiment: Experiment, now: datetime | None) -> list[NextAction]:
    return next_actions(experiment, read_facts(connection, experiment), now or datetime.now(UTC))


def _with_looks(
    connection: Connection, found: Sequence[Experiment]
) -> Iterator[tuple[Experiment, Row[Any] | None, int]]:
    """Yield experiments with the newest look of their epoch and the number of planned ones."""
    c = looks.c
    mine = c.experiment.in_([one.name for one in found])
    newest = select(c.experiment, c.epoch, func.max(c.number).label("number")).where(mine)
    last = newest.group_by(c.experiment, c.epoch).subquery()
    same = and_(*(c[column] == last.c[column] for column in ("experiment", "epoch", "number")))
    planned = select(c.experiment, c.epoch, func.count().label("n")).where(mine, c.is_planned)
    taken = connection.execute(planned.group_by(c.experiment, c.epoch))
    by_epoch = {
        (one.experiment, one.epoch): one for one in connection.execute(select(looks).join(last, same))
    }
    counts = {(one.experiment, one.epoch): one.n for one in taken}
    for one in found:
        key = (one.name, one.epoch)
        yield one, by_epoch.get(key), counts.get(key, 0)


def _of_epoch(
    connection: Connection, table: Table, epoch: tuple[str, int], *order: str
) -> Sequence[Row[Any]]:
    c = table.c
    statement = select(table).where(c.experiment == epoch[0], c.epoch == epoch[1])
    return connection.execute(statement.order_by(*(c[name] for name in order))).all()


def _effects(connection: Connection, design: Design, look: Row[Any] | None) -> list[Row[Any]]:
    if look is None or look.verdict == "invalid":
        return []
    c = look_effects.c
    of_look = (c.experiment == look.experiment, c.epoch == look.epoch, c.number == look.number)
    metrics = (design.primary, *design.secondary, *(one.metric for one in design.guardrails))
    places: Mapping[str, int] = {name: place for place, name in enumerate(dict.fromkeys(metrics))}
    variants = list(design.variants)
    return sorted(
        connection.execute(select(look_effects).where(*of_look)),
        key=lambda one: (
            _ROLES.index(one.role),
            places.get(one.metric, len(places)),
            one.metric,
            variants.index(one.variant) if one.variant in variants else len(variants),
            one.is_adjusted,
        ),
    )


def _newest_checks(connection: Connection, epoch: tuple[str, int]) -> list[Row[Any]]:
    c = guardrail_checks.c
    of_epoch = (c.experiment == epoch[0], c.epoch == epoch[1])
    newest = select(func.max(c.id)).where(*of_epoch).group_by(c.guardrail, c.variant)
    found = connection.execute(select(guardrail_checks).where(c.id.in_(newest)))
    return sorted(found, key=lambda one: (one.guardrail, one.variant))


def _concerns(result: ExperimentResult) -> Iterator[str]:
    details = {} if result.look is None else result.look.details
    if result.is_invalid:
        yield (
            "Something removes or adds units of a variant, so its units differ from control's, and no effect "
            "is shown. Where the division differs most from the plan:"
        )
    for one in details.get("reasons", ()):
        divided = ", ".join(
            f"{name} {units:,} of {one['expected'][name]:,.0f} expected"
            for name, units in one["units"].items()
        )
        yield f"{one['group']}: {divided} (p = {one['p']:.2g})"
    yield from details.get("warnings", ())
    if result.is_unguarded:
        since = "yet" if result.checked_at is None else f"since {result.checked_at:%Y-%m-%d %H:%M} UTC"
        yield f"No process has checked a guardrail {since}: start tastemaker experiment guard --follow."
        return
    for check in result.stale if result.experiment.is_active else ():
        yield f"The guardrail {check.guardrail} of {check.variant} has no current data: it guards nothing."


def _slice_order(slice_: str) -> tuple[float, str]:
    value = slice_.partition("=")[2]
    return (float(value), "") if value.isdecimal() else (float("inf"), value)
