"""Checks of a plan: what would assign units wrongly, or in a way that the log can't hold, is refused."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import MAX_EPOCH
from tastemaker.experiments.plan import (
    BUCKETS,
    ControlPlan,
    EarlierEpoch,
    Holdout,
    PinnedService,
    PlannedExperiment,
    TargetingRule,
)
from tastemaker.experiments.service_address import parse_address

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,99}")
_SALT = re.compile(r"[^/\x00-\x1f\x7f]{1,100}")
_KEY = re.compile(r"[0-9a-f]{16}")
_LISTS_MIXED = 2


class PlanFault(NamedTuple):
    """A contradiction in a plan."""

    problem: str
    fix: str


def check_plan(plan: ControlPlan) -> None:
    """Raise TastemakerError for the first contradiction in a plan."""
    for fault in plan_faults(plan):
        raise TastemakerError(fault.problem, fix=fault.fix)


def plan_faults(plan: ControlPlan) -> Iterator[PlanFault]:
    """Yield what contradicts itself in a plan."""
    yield from _names("service", plan.services)
    yield from _names("namespace", plan.namespaces)
    yield from _names("holdout", plan.holdouts)
    yield from _names("experiment", plan.experiments)
    yield from _salts(plan)
    yield from _services(plan)
    namespaces = [one.name for one in plan.namespaces]
    for holdout in plan.holdouts:
        yield from _holdout(holdout, namespaces)
    for experiment in plan.experiments:
        yield from _experiment(experiment, plan, namespaces)
    yield from _claims(plan)
    yield from _forced_twice(plan)
    yield from _routing(plan)


def routes(experiment: PlannedExperiment) -> bool:
    """Return whether an experiment chooses the service that answers. A shadow only copies requests."""
    return experiment.kind != "shadow" and any(one.service is not None for one in experiment.variants)


def _names(kind: str, named: Iterable[Any], where: str = "") -> Iterator[PlanFault]:
    """Yield names that are repeated or can't be in paths and messages; `where` follows in the message."""
    counts = Counter(one.name for one in named)
    for name, count in counts.items():
        if not _NAME.fullmatch(name):
            yield PlanFault(
                f"a {kind}{where} has the name {name!r}, must be 1 to 100 letters, digits and _ . @ + -, "
                "a letter or a digit first",
                "choose another name",
            )
        if count > 1:
            yield PlanFault(f"{count} {kind}s{where} have the name {name!r}", "give each a name of its own")


def _salts(plan: ControlPlan) -> Iterator[PlanFault]:
    salted = [
        *((one.name, one.salt) for one in plan.namespaces),
        *((one.name, one.salt) for one in plan.holdouts),
        *((one.name, one.salt) for one in plan.experiments),
    ]
    users = defaultdict(list)
    for name, salt in salted:
        users[salt].append(name)
        if not _SALT.fullmatch(salt):
            yield PlanFault(
                f"{name} has the salt {salt!r}, must be 1 to 100 characters without / and control characters",
                "choose another salt",
            )
    for salt, names in users.items():
        if len(names) > 1:
            yield PlanFault(
                f"the salt {salt!r} is used by {', '.join(names)}: their units would be the same",
                "give each a salt of its own",
            )


def _services(plan: ControlPlan) -> Iterator[PlanFault]:
    at: dict[str, PinnedService] = {}
    for service in plan.services:
        try:
            parse_address(service.address)
        except TastemakerError as error:
            yield PlanFault(f"service {service.name}: {error.problem}", error.fix or "correct its address")
        other = at.setdefault(service.address, service)
        if other is not service:
            yield PlanFault(
                f"services {other.name} and {service.name} have the same address {service.address}",
                "give each service an address of its own",
            )
    if plan.default is not None and plan.default not in {one.name for one in plan.services}:
        yield _unknown("the default service", plan.default, "service", [one.name for one in plan.services])


def _holdout(holdout: Holdout, namespaces: list[str]) -> Iterator[PlanFault]:
    if not 0 <= holdout.share <= BUCKETS:
        yield _outside(f"holdout {holdout.name} has a share", holdout.share)
    for name in holdout.namespaces:
        if name not in namespaces:
            yield _unknown(f"holdout {holdout.name}", name, "namespace", namespaces)


def _experiment(
    experiment: PlannedExperiment, plan: ControlPlan, namespaces: list[str]
) -> Iterator[PlanFault]:
    who = f"experiment {experiment.name}"
    if experiment.namespace not in namespaces:
        yield _unknown(who, experiment.namespace, "namespace", namespaces)
    if not 0 <= experiment.epoch <= MAX_EPOCH:
        yield PlanFault(
            f"{who} has epoch {experiment.epoch}, must be 0 to {MAX_EPOCH}", "count the epochs from 0"
        )
    if not 0 <= experiment.enrolment <= BUCKETS:
        yield _outside(f"{who} has an enrolment", experiment.enrolment)
    if experiment.enrolled is not None and not _is_inside(experiment.enrolled):
        yield PlanFault(
            f"{who} has the file of enrolled units {experiment.enrolled!r}, must be relative to the plan's "
            "folder",
            "put the file beside the plan",
        )
    if not experiment.claim:
        yield PlanFault(f"{who} claims no bucket of its namespace", "claim some, or end it")
    yield from _variants(who, experiment)
    yield from _earlier(who, experiment)
    yield from _variant_services(who, experiment, plan)
    for rule in experiment.targeting:
        yield from rule_faults(who, rule)


def _is_inside(file: str) -> bool:
    path = PurePosixPath(file)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


def _variants(who: str, experiment: PlannedExperiment) -> Iterator[PlanFault]:
    yield from _names("variant", experiment.variants, f" of {who}")
    names = [one.name for one in experiment.variants]
    if experiment.control not in names:
        yield _unknown(f"the control of {who}", experiment.control, "variant", names)
    yield from _ranges([(one.start, one.end, f"variant {one.name} of {who}") for one in experiment.variants])
    for key, name in experiment.forced.items():
        if not _KEY.fullmatch(key):
            yield PlanFault(
                f"a forced unit of {who} has no key of 16 hexadecimal digits",
                "force it by: tastemaker experiment force",
            )
        if name not in names:
            yield _unknown(f"a forced unit of {who}", name, "variant", names)


def _earlier(who: str, experiment: PlannedExperiment) -> Iterator[PlanFault]:
    if experiment.earlier and experiment.kind != "bandit":
        yield PlanFault(
            f"{who} of kind {experiment.kind} has units of earlier epochs, which only a bandit keeps",
            "assign all its units again",
        )
    before = EarlierEpoch(-1, 0, {})
    for one in experiment.earlier:
        if not (before.epoch < one.epoch < experiment.epoch):
            yield PlanFault(
                f"{who} has epoch {one.epoch} between {before.epoch} and {experiment.epoch}",
                "put earlier epochs in ascending order",
            )
        if not before.enrolment < one.enrolment <= experiment.enrolment:
            yield PlanFault(
                f"epoch {one.epoch} of {who} enrols the buckets from {before.enrolment} to {one.enrolment}, "
                f"must be some, up to {experiment.enrolment}",
                "let each epoch enrol buckets of its own",
            )
        names = [variant.name for variant in experiment.variants]
        if set(one.variants) != set(names):
            yield PlanFault(
                f"epoch {one.epoch} of {who} has the variants {', '.join(one.variants)}, must be "
                f"{', '.join(names)}",
                "begin a new epoch, in which all units are assigned again",
            )
        yield from _ranges(
            [(*ends, f"variant {name} of {who} in epoch {one.epoch}") for name, ends in one.variants.items()]
        )
        before = one


def _variant_services(who: str, experiment: PlannedExperiment, plan: ControlPlan) -> Iterator[PlanFault]:
    known = [one.name for one in plan.services]
    named = [one.service for one in experiment.variants if one.service is not None]
    for service in named:
        if service not in known:
            yield _unknown(f"a variant of {who}", service, "service", known)
    lists_only = experiment.kind in ("interleaving", "shadow")
    if len(named) < len(experiment.variants) and (named or lists_only):
        without = next(one.name for one in experiment.variants if one.service is None)
        yield PlanFault(
            f"{who} of kind {experiment.kind} has the variant {without} without a service",
            "name a service for each variant" + ("" if lists_only else ", or for none"),
        )
    if experiment.kind == "interleaving" and len(experiment.variants) != _LISTS_MIXED:
        yield PlanFault(
            f"{who} mixes the lists of {len(experiment.variants)} variants, must be {_LISTS_MIXED}",
            "plan one experiment per pair of variants",
        )
    if named and plan.default is None:
        yield PlanFault(
            f"{who} has services, but the plan has no default service for the other users",
            "name a default service",
        )


def rule_faults(who: str, rule: TargetingRule) -> Iterator[PlanFault]:
    """Yield what is wrong with a rule.

    Args:
        who: Whose rule it is, for the messages.
        rule: The rule of targeting to check.
    """
    where = f"{who} has a rule of targeting on {rule.fact!r} with {rule.operator}"
    if not rule.fact:
        yield PlanFault(f"{where}, whose fact has no name", "name the fact")
    if rule.operator in ("in", "not_in"):
        if not rule.values:
            yield PlanFault(f"{where} without a value", "list at least one value")
    elif len(rule.values) != 1 or isinstance(rule.values[0], str | bool):
        yield PlanFault(
            f"{where} and the values {list(rule.values)}, must be one number", "give it one number"
        )
    if any(isinstance(value, float) and not math.isfinite(value) for value in rule.values):
        yield PlanFault(
            f"{where} and the values {list(rule.values)}, which a plan can't hold", "use finite numbers"
        )


def _claims(plan: ControlPlan) -> Iterator[PlanFault]:
    claimed = defaultdict(list)
    for experiment in plan.experiments:
        for start, end in experiment.claim:
            where = f"the claim of experiment {experiment.name}"
            claimed[experiment.namespace].append((start, end, where))
    for ranges in claimed.values():
        yield from _ranges(ranges)


def _ranges(ranges: list[tuple[int, int, str]]) -> Iterator[PlanFault]:
    """Yield what is wrong with ranges (start, end, of what) that must not overlap."""
    for start, end, what in ranges:
        if not 0 <= start < end <= BUCKETS:
            yield PlanFault(
                f"{what} is [{start}, {end}), must not be empty and lie within [0, {BUCKETS})",
                "correct the range",
            )
    ordered = sorted(ranges)
    for (_, end, what), (start, _, other) in pairwise(ordered):
        if start < end:
            yield PlanFault(
                f"{what} and {other} overlap: one ends at {end}, the other starts at {start}",
                "give each bucket to one of them",
            )


def _forced_twice(plan: ControlPlan) -> Iterator[PlanFault]:
    by: dict[tuple[str, str], str] = {}
    for experiment in plan.experiments:
        for unit in experiment.forced:
            other = by.setdefault((experiment.namespace, unit), experiment.name)
            if other != experiment.name:
                yield PlanFault(
                    f"a unit is forced into experiments {other} and {experiment.name} of the namespace "
                    f"{experiment.namespace}",
                    "force it into one of them",
                )


def _routing(plan: ControlPlan) -> Iterator[PlanFault]:
    routing = {one.namespace: one.name for one in plan.experiments if routes(one)}
    if len(routing) > 1:
        places = " and ".join(f"{name} in {namespace}" for namespace, name in routing.items())
        yield PlanFault(
            f"experiments choose the service of a request in {len(routing)} namespaces: {places}",
            "put them in one namespace, where their claims exclude each other",
        )


def _unknown(what: str, name: str, kind: str, known: Iterable[str]) -> PlanFault:
    names = ", ".join(known) or "none"
    return PlanFault(f"{what} names the {kind} {name!r}, which is unknown", f"name one of: {names}")


def _outside(what: str, value: int) -> PlanFault:
    return PlanFault(f"{what} of {value} buckets, must be 0 to {BUCKETS}", "correct it")
