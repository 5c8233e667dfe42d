"""Guards: what must be true before an action. Each objection says what is missing and what to do about it.

A person may confirm some guards, which is recorded with the change. The others can't be passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, func, select

from tastemaker.experiments.lifecycle.records import Experiment, read_experiments
from tastemaker.experiments.lifecycle.states import ACTIVE, OPENING_FURTHER, Action
from tastemaker.experiments.serving_margins import allows_step
from tastemaker.stats.mismatch_level import RATIO_ALPHA
from tastemaker.storage.tables import experiment_changes, experiments, guardrail_checks, look_effects, looks
from tastemaker.util.counted import counted

CONFIRMED: dict[Action, tuple[str, ...]] = {
    "start": ("aa",),
    "step": ("duration", "guardrails"),
    "allocate": ("duration", "guardrails"),
    "ship": ("verdict", "duration", "guardrails"),
}
"""Guards of each action that a person may confirm."""
SHIPPED_KINDS = ("ab", "bandit", "rollout")
"""Kinds whose result can promote a variant."""
MOST_UNCHECKED = timedelta(minutes=15)
"""How old the newest check of a guardrail may be: one that finds nothing new is stored every five minutes."""
_ENDED = "stopped", "decided", "archived"
_STEPS: tuple[Action, ...] = ("start", "step", "resume", "new_epoch", "allocate")
"""Actions that open the enrolment."""


class Objection(NamedTuple):
    """Why an action is not allowed now."""

    guard: str
    """Its name, by which it is confirmed."""
    problem: str
    fix: str
    can_confirm: bool = False
    """Whether a person may do it all the same."""


class Facts(NamedTuple):
    """What guards depend on, beside the experiment itself."""

    look: Row[Any] | None
    """The newest planned look of the epoch."""
    newest_look: Row[Any] | None
    """The newest look of the epoch, planned or not."""
    verdicts: Mapping[str, str]
    """The verdict of each variant at the newest planned look, where it has one of its own."""
    ratio_p: float | None
    """The p-value of the sample ratio at the newest look that has one."""
    checks: Sequence[Row[Any]]
    """The newest check of each guardrail and variant since the last step."""
    stepped_at: datetime | None
    """When the enrolment was opened last."""
    has_passed_aa: bool
    """Whether an A/A experiment of the namespace ended without a difference."""
    routed_elsewhere: Sequence[str]
    """Experiments that choose the service in another namespace."""


def read_facts(connection: Connection, experiment: Experiment) -> Facts:
    """Return what the guards of an experiment depend on.

    Args:
        connection: Of the metadata database.
        experiment: The experiment, as it is stored.
    """
    stepped_at = connection.execute(
        select(func.max(experiment_changes.c.at)).where(
            experiment_changes.c.experiment == experiment.name, experiment_changes.c.action.in_(_STEPS)
        )
    ).scalar_one()
    epoch = looks.c.experiment == experiment.name, looks.c.epoch == experiment.epoch
    taken = connection.execute(select(looks).where(*epoch).order_by(looks.c.number.desc())).all()
    look = next((one for one in taken if one.is_planned), None)
    return Facts(
        look=look,
        newest_look=taken[0] if taken else None,
        verdicts=_verdicts(connection, look),
        ratio_p=next((p for one in taken if (p := _ratio_p(one)) is not None), None),
        checks=_newest_checks(connection, experiment, stepped_at),
        stepped_at=stepped_at,
        has_passed_aa=has_passed_aa(connection, experiment.namespace),
        routed_elsewhere=[
            one.name
            for one in read_experiments(connection, ACTIVE)
            if one.is_routed and one.namespace != experiment.namespace
        ],
    )


def _ratio_p(look: Row[Any]) -> float | None:
    """Return the p-value that a step goes by: the anytime one, or the test that made the look invalid."""
    known = [p for p in (look.ratio_anytime_p, look.ratio_p) if p is not None]
    if not known:
        return None
    return float(min(known) if look.verdict == "invalid" else known[0])


def _newest_checks(
    connection: Connection, experiment: Experiment, since: datetime | None
) -> Sequence[Row[Any]]:
    checks = guardrail_checks.c
    if since is None:
        return []
    mine = and_(checks.experiment == experiment.name, checks.epoch == experiment.epoch, checks.at >= since)
    newest = select(func.max(checks.id)).where(mine).group_by(checks.guardrail, checks.variant)
    query = select(guardrail_checks).where(checks.id.in_(newest)).order_by(checks.guardrail, checks.variant)
    return connection.execute(query).all()


def has_passed_aa(connection: Connection, namespace: str) -> bool:
    """Return whether an A/A experiment of a namespace ended without a difference and with valid looks.

    Args:
        connection: Of the metadata database.
        namespace: The namespace's name.
    """
    ended = (
        experiments.c.namespace == namespace,
        experiments.c.kind == "aa",
        experiments.c.state.in_(_ENDED),
    )
    query = (
        select(looks.c.experiment, looks.c.verdict, looks.c.is_planned)
        .join(
            experiments,
            and_(experiments.c.name == looks.c.experiment, experiments.c.epoch == looks.c.epoch),
        )
        .where(*ended)
        .order_by(looks.c.number)
    )
    rows = connection.execute(query).all()
    last = {row.experiment: row.verdict for row in rows}
    planned = {row.experiment: row.verdict for row in rows if row.is_planned}
    return any(
        verdict in ("equal", "undecided") and last[name] != "invalid" for name, verdict in planned.items()
    )


def _verdicts(connection: Connection, look: Row[Any] | None) -> dict[str, str]:
    """Return the verdict of each variant on the primary metric at a look."""
    if look is None:
        return {}
    effects = look_effects.c
    query = select(effects.variant, effects.verdict).where(
        effects.experiment == look.experiment,
        effects.epoch == look.epoch,
        effects.number == look.number,
        effects.role == "primary",
        effects.slice == "",
        effects.verdict.is_not(None),
    )
    return {row.variant: row.verdict for row in connection.execute(query)}


def result_of(action: Action, facts: Facts) -> dict[str, object]:
    """Return what a decision rests on, as evidence: the newest planned look.

    Args:
        action: What is done; only decisions rest on a look.
        facts: From `read_facts`.
    """
    look = facts.look
    if action not in ("stop", "ship", "drop") or look is None:
        return {}
    return {"look": look.number, "verdict": look.verdict, "sentence": look.sentence}


def objections(
    experiment: Experiment, action: Action, facts: Facts, now: datetime, variant: str | None = None
) -> list[Objection]:
    """Return why an action that the state allows is not allowed now; empty if it is.

    Args:
        experiment: The experiment, as it is stored.
        action: What is to be done.
        facts: From `read_facts`.
        now: The time of the action.
        variant: The variant to ship; None for other actions.
    """
    if action == "start":
        return [*_without_aa(experiment, facts), *_routed_elsewhere(experiment, facts)]
    if action == "new_epoch":
        return list(_routed_elsewhere(experiment, facts))
    if action in OPENING_FURTHER:
        return list(_to_step(experiment, facts, now))
    if action == "ship":
        return list(_to_ship(experiment, facts, now, variant))
    return []


def _without_aa(experiment: Experiment, facts: Facts) -> Iterator[Objection]:
    name, namespace = experiment.name, experiment.namespace
    if experiment.kind not in ("aa", "shadow", "rollout") and not facts.has_passed_aa:
        yield Objection(
            "aa",
            f"no A/A experiment has passed in the namespace {namespace}, so nothing shows that its units are "
            "divided and counted as they should be",
            f"run one: tastemaker experiment new aa-{namespace} --kind aa --namespace {namespace}; or start "
            f"without: tastemaker experiment start {name} --confirm aa",
            can_confirm=True,
        )


def _routed_elsewhere(experiment: Experiment, facts: Facts) -> Iterator[Objection]:
    if experiment.is_routed and facts.routed_elsewhere:
        yield Objection(
            "namespace",
            f"{experiment.name} chooses the service in the namespace {experiment.namespace}, and "
            f"{', '.join(facts.routed_elsewhere)} does in another: a request would have two services",
            "put experiments over models into one namespace",
        )


def _to_step(experiment: Experiment, facts: Facts, now: datetime) -> Iterator[Objection]:
    design = experiment.design
    confirm = f"tastemaker experiment step {experiment.name} --confirm"
    wait = timedelta(hours=design.step_hours)
    if facts.stepped_at is not None and now < facts.stepped_at + wait:
        yield Objection(
            "duration",
            f"this step began {facts.stepped_at:%Y-%m-%d %H:%M} UTC and lasts {design.step_hours:g} hours",
            f"wait until {facts.stepped_at + wait:%Y-%m-%d %H:%M} UTC; or now: {confirm} duration",
            can_confirm=True,
        )
    if facts.ratio_p is not None and facts.ratio_p < RATIO_ALPHA:
        yield Objection(
            "ratio",
            f"units are not divided as planned: p = {facts.ratio_p:.2g}, below {RATIO_ALPHA:g}",
            "find the reason; then begin a new epoch, or drop the experiment",
        )
    yield from _unsafe(experiment, facts.checks, confirm)


def _unsafe(experiment: Experiment, checks: Sequence[Row[Any]], confirm: str) -> Iterator[Objection]:
    for one in checks:
        if one.verdict == "harm":
            yield Objection(
                "harm",
                f"the guardrail {one.guardrail} found that {one.variant} does harm",
                f"tastemaker experiment roll-back {experiment.name} --reason REASON",
            )
    others = [name for name in experiment.design.variants if name != experiment.design.control]
    few = {one.variant: min(one.units, one.control_units) for one in checks}
    open_ones = [
        f"{one.guardrail} of {one.variant} is {one.verdict}"
        for one in checks
        if one.verdict != "harm" and not allows_step(experiment.kind, one.guardrail, one.verdict)
    ]
    open_ones += [f"{name} was not checked since this step began" for name in others if name not in few]
    open_ones += [
        f"{name} or control has {counted(units, 'unit')}, a step needs {experiment.design.step_units}"
        for name, units in few.items()
        if units < experiment.design.step_units
    ]
    if open_ones:
        yield Objection(
            "guardrails",
            f"not every guardrail is safe: {'; '.join(open_ones)}",
            f"wait for more data; or without it: {confirm} guardrails",
            can_confirm=True,
        )


def _to_ship(experiment: Experiment, facts: Facts, now: datetime, variant: str | None) -> Iterator[Objection]:
    name, design, look = experiment.name, experiment.design, facts.look
    others = [one for one in design.variants if one != design.control]
    if variant is None and len(others) == 1:
        variant = others[0]
    if experiment.kind not in SHIPPED_KINDS:
        yield Objection(
            "kind",
            f"{name} is of kind {experiment.kind}, whose result can't promote a variant",
            "compare the variants by an experiment of kind ab",
        )
    elif variant is not None and variant not in others:
        yield Objection("variant", f"{variant!r} can't be shipped", f"name one of: {', '.join(others)}")
    elif experiment.kind == "rollout":
        yield from _to_promote(experiment, facts, now)
    elif facts.newest_look is not None and facts.newest_look.verdict == "invalid":
        yield Objection(
            "verdict",
            f"the newest look is invalid: {facts.newest_look.sentence}",
            "find the reason; then begin a new epoch, or drop the experiment",
        )
    elif look is None:
        yield Objection("look", f"{name} has no planned look yet", "wait for one")
    else:
        yield from _without_win(name, variant, facts.verdicts.get(variant or "", look.verdict), look)


def _to_promote(experiment: Experiment, facts: Facts, now: datetime) -> Iterator[Objection]:
    """Yield why a rollout's version may not become the champion: what a step needs, at the last one."""
    name, last = experiment.name, experiment.design.steps[-1]
    if experiment.enrolment < last:
        yield Objection(
            "step",
            f"{name} has {experiment.enrolment:,} enrolment buckets, the last step has {last:,}",
            "wait for the last step",
        )
    newest = max((one.at for one in facts.checks), default=None)
    if newest is not None and now - newest > MOST_UNCHECKED:
        yield Objection(
            "guardrails",
            f"the guardrails were checked last at {newest:%Y-%m-%d %H:%M} UTC",
            "start a process that checks them: tastemaker control",
            can_confirm=True,
        )
    yield from _to_step(experiment, facts, now)


def _without_win(name: str, variant: str | None, verdict: str, look: Row[Any]) -> Iterator[Objection]:
    drop = f"tastemaker experiment drop {name} --reason REASON"
    if verdict == "better":
        return
    if verdict == "worse":
        yield Objection("verdict", f"{variant} is worse at look {look.number}: {look.sentence}", drop)
    elif look.information < 1:
        yield Objection(
            "verdict", f"look {look.number} has not decided: {look.sentence}", "wait for the next look"
        )
    else:
        yield Objection(
            "verdict",
            f"it is over and no difference was found: {look.sentence}",
            f"{drop}; or all the same: tastemaker experiment ship {name} {variant} --confirm verdict",
            can_confirm=True,
        )
