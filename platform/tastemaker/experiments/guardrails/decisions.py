"""What the guard does about an experiment after a check: pure functions of the checks and of the changes.

    crash      a variant lost its traffic to control               roll back at once
    incident   control and all variants are faulty                 hold; nothing is rolled back
    ratio      units are not divided as planned                    hold
    harm       two checks in a row say so                          roll back
    step       every guardrail is safe, and no guard objects       open the enrolment further
    allocate   the same, of a bandit whose outcomes are known      the same, with new shares in a new epoch

It never ships and never ends an experiment. It never undoes what a person did: harm counts only after the
last change, and what was held by a guardrail and resumed by a person is not held by this guardrail again in
the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from tastemaker.experiments.allocation import new_shares
from tastemaker.experiments.design import Design
from tastemaker.experiments.guardrails.checks import SAMPLE_RATIO, GuardrailCheck
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.experiments.serving_margins import allows_step
from tastemaker.util.durations import DAY_SECONDS

CRASH, INCIDENT = "crash", "incident"
"""Guardrails that are not a metric."""
_OPENING = ("start", "step", "resume", "new_epoch", "allocate")
"""Changes that open the enrolment."""
SMALLEST_SHIFT = 0.01
"""By how much of all units a variant's share has to change for a new epoch."""
_HOUR_SECONDS = 3_600.0


class MadeChange(Protocol):
    """The part of a stored change that is read here."""

    @property
    def at(self) -> datetime: ...
    @property
    def actor(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def to_state(self) -> str: ...
    @property
    def epoch(self) -> int: ...


class Situation(NamedTuple):
    """An experiment at a check."""

    state: str
    epoch: int
    history: Sequence[MadeChange]
    """All changes, oldest first."""
    harmful: frozenset[tuple[str, str]]
    """Variants and guardrails that the check before called harmful, with no change since."""


class GuardDecision(NamedTuple):
    """What is to be done, by which actor and why."""

    action: Literal["hold", "roll_back", "step", "allocate"]
    actor: str
    reason: str
    evidence: dict[str, Any]
    variant: str | None = None
    """The variant at fault; None if it is not one alone."""
    design: Design | None = None
    """The design after it; None: it stays."""

    @property
    def guardrail(self) -> str:
        """The guardrail that acts; empty if none does."""
        return self.actor.partition(":")[2]


STEP = GuardDecision("step", "schedule", "every guardrail is safe, and the step has lasted long enough", {})


def decide(
    situation: Situation, checks: Iterable[GuardrailCheck], *, incident: str | None = None
) -> GuardDecision | None:
    """Return what the checks demand; None: nothing.

    Args:
        situation: The experiment at this check, with what the check before called harmful.
        checks: Of now.
        incident: The metric by which all variants are faulty at once; None if there is none.
    """
    if incident is not None:
        reason = f"control and all other variants are faulty by {incident}: it is not a variant's fault"
        return _hold(situation, INCIDENT, reason, {"metric": incident})
    found = [one for one in checks if one.found.verdict == "harm"]
    for one in found:
        if one.guardrail != SAMPLE_RATIO and (one.variant, one.guardrail) in situation.harmful:
            return _rolled_back(one)
    for one in found:
        if one.guardrail == SAMPLE_RATIO:
            has, planned = one.found.value, one.found.control_value
            reason = f"units are not divided as planned: {one.variant} has {has:.4f}, not {planned:.4f}"
            return _hold(situation, SAMPLE_RATIO, reason, _evidence(one))
    return None


def crashed(variant: str, reason: str, evidence: dict[str, Any]) -> GuardDecision:
    """Return the rollback of a variant that the controller took out of service.

    Args:
        variant: The variant's name.
        reason: The controller's, in words.
        evidence: Figures.
    """
    return GuardDecision("roll_back", f"guardrail:{CRASH}", f"{variant}: {reason}", evidence, variant)


def bandit_step(
    experiment: Experiment,
    history: Iterable[MadeChange],
    probabilities: Mapping[str, float] | None,
    now: float,
) -> GuardDecision | None:
    """Return how a bandit's enrolment is opened further; None while the first outcomes are still to come.

    Args:
        experiment: The bandit, as it is stored.
        history: All changes of the experiment.
        probabilities: Variant -> probability that it is the best; None: of too few units.
        now: Seconds since 1970 UTC.
    """
    if probabilities is not None:
        return allocated(experiment.design, probabilities) or STEP
    is_mature = now - began_at(experiment, history) >= experiment.design.window_days * DAY_SECONDS
    return STEP if is_mature else None


def is_step_due(
    experiment: Experiment, history: Iterable[MadeChange], checks: Iterable[GuardrailCheck], now: float
) -> bool:
    """Return whether the enrolment may be opened further: all is safe, and the step's time is over.

    Args:
        experiment: The experiment, as it is stored.
        history: All changes of the experiment, with at least one that opened its enrolment.
        checks: The newest of every guardrail and variant.
        now: Seconds since 1970 UTC.
    """
    design = experiment.design
    if experiment.state != "running" or experiment.enrolment >= design.steps[-1]:
        return False
    opened_at = max(one.at.timestamp() for one in history if one.action in _OPENING)
    lasted = now - opened_at >= design.step_hours * _HOUR_SECONDS
    found = [allows_step(experiment.kind, one.guardrail, one.found.verdict) for one in checks]
    return lasted and bool(found) and all(found)


def allocated(design: Design, probabilities: Mapping[str, float]) -> GuardDecision | None:
    """Return the new shares of a bandit's variants; None if they are about those that it has.

    Args:
        design: The experiment's design.
        probabilities: Variant -> probability that it is the best.
    """
    before = {name: one.share for name, one in design.variants.items()}
    total = sum(before.values())
    shares = new_shares(probabilities, total=total)
    if all(abs(shares[name] - before[name]) < SMALLEST_SHIFT * total for name in before):
        return None
    words = ", ".join(f"{name} {share / total:.1%}" for name, share in shares.items())
    variants = {
        name: msgspec.structs.replace(one, share=shares[name]) for name, one in design.variants.items()
    }
    return GuardDecision(
        "allocate",
        STEP.actor,
        f"shares of the next units: {words}",
        {"probabilities": dict(probabilities), "shares": shares, "shares_before": before},
        design=msgspec.structs.replace(design, variants=variants),
    )


def began_at(experiment: Experiment, history: Iterable[MadeChange]) -> float:
    """Return when the epoch in force began, seconds since 1970 UTC.

    Args:
        experiment: The experiment, which has started.
        history: All changes of the experiment.
    """
    its = (one for one in history if one.epoch == experiment.epoch and one.to_state == "running")
    return min(one.at.timestamp() for one in its)


def _rolled_back(check: GuardrailCheck) -> GuardDecision:
    found = check.found
    reason = (
        f"{check.variant} does harm by {check.guardrail} in two checks in a row: {found.value:.4g}, control "
        f"{found.control_value:.4g}; the difference is {found.low:.4g} to {found.high:.4g}"
    )
    return GuardDecision("roll_back", f"guardrail:{check.guardrail}", reason, _evidence(check), check.variant)


def _evidence(check: GuardrailCheck) -> dict[str, Any]:
    return check.found._asdict() | {"variant": check.variant, "margin": check.margin}


def _hold(situation: Situation, name: str, reason: str, evidence: dict[str, Any]) -> GuardDecision | None:
    """Return a hold, unless it is held, or a person resumed what this guardrail held in this epoch."""
    actor = f"guardrail:{name}"
    mine = (one for one in situation.history if one.epoch == situation.epoch)
    if situation.state != "running" or any(one.actor == actor and one.action == "hold" for one in mine):
        return None
    return GuardDecision("hold", actor, reason, evidence)
