"""Checks of a design before it may run: what is missing, contradicts itself, or names what does not exist."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.experiments.design import Design, VariantDesign
from tastemaker.experiments.plan import BUCKETS, Unit, in_proportion, percentage
from tastemaker.experiments.plan_checks import rule_faults
from tastemaker.util.counted import counted
from tastemaker.util.spelling import did_you_mean

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,99}")
_NAME_FIX = "use 1 to 100 letters, digits and _ . @ + -, a letter or a digit first"
_MOST_LOOKS = 100
_MOST_DAYS = 365.0
_SAME_FILES = "on some file systems both have the same files"
FEWEST_UNITS = 100
_LISTS_MIXED = 2


class DesignFault(NamedTuple):
    """What is wrong with a design."""

    problem: str
    fix: str


class Known(NamedTuple):
    """What a design may name."""

    namespaces: Mapping[str, Unit]
    """The unit of each namespace."""
    metric_fault: Callable[[str], DesignFault | None]
    """Returns what is wrong with the name of a metric; None if it can be computed."""
    version_fault: Callable[[VariantDesign], DesignFault | None]
    """Returns what is wrong with a variant's version; None if it can be served."""
    has_champion: bool
    """Whether a version answers users without an experiment."""
    mixing_fault: str | None = None
    """Why the lists of these services may not be interleaved; None if they may."""


def check_design(design: Design, known: Known) -> None:
    """Refuse a design in which anything is wrong, and list all of it.

    Args:
        design: The design to check.
        known: What it may name.

    Raises:
        TastemakerError: There is at least one fault: see `design_faults`.
    """
    faults = list(design_faults(design, known))
    if faults:
        raise TastemakerError(
            f"the design of {design.name} is not complete:\n    "
            + "\n    ".join(f"{one.problem}: {one.fix}" for one in faults),
            fix=f"correct it; in a draft: tastemaker experiment revise {design.name} --from FILE.yaml",
        )


def same_but_for_case(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that differ in case alone."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            yield other, name


def require_free(kind: str, name: str, known: Iterable[str], fix: str) -> None:
    """Refuse a name that is in use, be it in other case.

    Args:
        kind: What is named, for the error, such as `an experiment`.
        name: The name that is wanted.
        known: The names in use.
        fix: What to do, for the error.

    Raises:
        TastemakerError: One of the names in use is the same but for case.
    """
    for other in known:
        if other.lower() == name.lower():
            alike = "" if other == name else f", and {name!r} differs from it in case alone: {_SAME_FILES}"
            raise TastemakerError(f"there is {kind} {other!r} already{alike}", fix=fix)


def require_name(kind: str, name: str) -> None:
    """Refuse a name with signs that names of files and metrics can't have.

    Args:
        kind: What is named, for the error, such as experiment.
        name: The name that is wanted.

    Raises:
        TastemakerError: The name does not match `NAME`.
    """
    if not NAME.fullmatch(name):
        raise TastemakerError(f"the {kind} has the name {name!r}", fix=_NAME_FIX)


def design_faults(design: Design, known: Known) -> Iterator[DesignFault]:
    """Yield what is wrong with a design.

    Args:
        design: The design to check.
        known: What it may name.
    """
    yield from _words(design)
    yield from _variants(design)
    yield from _served(design, known)
    yield from _metrics(design, known)
    yield from _numbers(design)
    yield from _steps(design)
    for rule in design.targeting:
        yield from (DesignFault(*fault) for fault in rule_faults("it", rule))
    unit = known.namespaces.get(design.namespace)
    if unit is None:
        make = f"make it: tastemaker experiment namespaces add {design.namespace}"
        yield DesignFault(
            f"there is no namespace {design.namespace!r}",
            did_you_mean(design.namespace, known.namespaces, make),
        )
    elif unit == "request" and design.kind in ("ab", "aa", "rollout"):
        yield DesignFault(
            f"the namespace {design.namespace} assigns requests, so a user would be in several variants",
            "use a namespace of users, devices or sessions, or the kind interleaving",
        )


def _words(design: Design) -> Iterator[DesignFault]:
    for kind, name in [("experiment", design.name), *(("variant", name) for name in design.variants)]:
        if not NAME.fullmatch(name):
            yield DesignFault(f"the {kind} has the name {name!r}", _NAME_FIX)
    for name, other in same_but_for_case(design.variants):
        yield DesignFault(f"the variants {name} and {other} differ in case alone", "give one another name")
    for key in ("owner", "hypothesis"):
        if not getattr(design, key).strip():
            yield DesignFault(f"it has no {key}", "write it down before the start")


def _variants(design: Design) -> Iterator[DesignFault]:
    names = list(design.variants)
    if len(names) < 2:
        yield DesignFault(f"it has {counted(len(names), 'variant')}", "compare at least two")
    if design.kind == "interleaving" and len(names) != _LISTS_MIXED:
        yield DesignFault(
            f"it mixes the lists of {len(names)} variants", f"interleave {_LISTS_MIXED}, pair by pair"
        )
    if design.control not in names:
        yield DesignFault(f"its control {design.control!r} is not a variant", f"use {', '.join(names)}")
    for name, variant in design.variants.items():
        if variant.share < 1:
            yield DesignFault(f"variant {name} has {variant.share} buckets", "give it at least 1")
    yield from _shares({name: one.share for name, one in design.variants.items()})
    answered = [name for name, one in design.variants.items() if one.model is not None]
    if answered and len(answered) < len(names):
        others = ", ".join(name for name in names if name not in answered)
        yield DesignFault(f"{', '.join(answered)} have a model, {others} none", "name one for all, or none")
    if not answered and design.kind in ("interleaving", "shadow"):
        yield DesignFault(f"an experiment of kind {design.kind} has no model", "name one for each variant")


def _shares(shares: Mapping[str, int]) -> Iterator[DesignFault]:
    """Yield what is wrong with the sum of the shares: each may have been rounded down to whole buckets."""
    total = sum(shares.values())
    left = BUCKETS - total
    fix = "let them add up to 100 %"
    if min(shares.values(), default=0) > 0:
        scaled = ", ".join(f"{name} {percentage(one)}" for name, one in in_proportion(shares).items())
        fix = f"to keep their proportions, write {scaled}"
    if left < 0:
        yield DesignFault(f"the shares add up to {percentage(total)}, must be 100 %", fix)
    elif left >= max(len(shares), 1):
        yield DesignFault(
            f"the shares add up to {percentage(total)}, so {percentage(left)} of the units would be in no "
            "variant",
            fix,
        )


def _served(design: Design, known: Known) -> Iterator[DesignFault]:
    if design.kind == "interleaving" and known.mixing_fault is not None:
        yield DesignFault(
            f"its lists can't be mixed: {known.mixing_fault}", "change the setting, or use --kind ab"
        )
    for name, variant in design.variants.items():
        if variant.model is None:
            if variant.version or variant.recipe or variant.address:
                yield DesignFault(f"variant {name} has no model, but a version, recipe or address", "name it")
            if not _is_json(variant.value):
                yield DesignFault(
                    f"variant {name} has the value {variant.value!r}, which JSON can't hold",
                    "use text, a finite number, true, false, null, or lists and objects of them",
                )
        elif (variant.version is None) == (variant.recipe is None):
            yield DesignFault(
                f"variant {name} of {variant.model} needs a version or a recipe, and not both", "name one"
            )
        elif (fault := known.version_fault(variant)) is not None:
            yield DesignFault(f"variant {name}: {fault.problem}", fault.fix)
    if not known.has_champion and any(one.model for one in design.variants.values()):
        yield DesignFault(
            "there is no champion, which answers users without an experiment",
            "promote a version: tastemaker models promote VERSION",
        )
    yield from _compared(
        design,
        "version",
        [(one.model, one.version, one.recipe) for one in design.variants.values() if one.model],
    )
    flags = [one.value for one in design.variants.values() if one.model is None]
    if any(value is not None for value in flags) and all(map(_is_json, flags)):
        yield from _compared(design, "value", [msgspec.json.encode(value, order="sorted") for value in flags])


def _compared(design: Design, what: str, treatments: Sequence[Hashable]) -> Iterator[DesignFault]:
    """Yield what is wrong with comparing the treatments: the same in an A/B, or different ones in an A/A."""
    different = len(set(treatments))
    if design.kind == "aa" and different > 1:
        yield DesignFault(f"an A/A experiment compares different {what}s", "name one for all variants")
    elif design.kind in ("ab", "interleaving", "rollout") and different == 1 < len(treatments):
        yield DesignFault(f"all variants have the same {what}", "name another, or use --kind aa")


def _is_json(value: Any) -> bool:
    """Return whether a plan gives a value back as it is: it would hold null in the place of NaN."""
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(value)) == value)
    except (TypeError, msgspec.MsgspecError):
        return False


def _metrics(design: Design, known: Known) -> Iterator[DesignFault]:
    used = [design.primary, *design.secondary, *(one.metric for one in design.guardrails)]
    for metric in dict.fromkeys(used):
        if (fault := known.metric_fault(metric)) is not None:
            yield fault
    if design.primary in design.secondary:
        yield DesignFault(f"{design.primary} is primary and secondary", "name it once")
    for guardrail in design.guardrails:
        if not (math.isfinite(guardrail.margin) and guardrail.margin > 0):
            yield DesignFault(
                f"the guardrail {guardrail.metric} has the margin {guardrail.margin:g}",
                "write how much worse is still accepted, such as 0.02",
            )
    yield from _twice("secondary metric", design.secondary)
    yield from _twice("guardrail", [one.metric for one in design.guardrails])


def _twice(kind: str, names: Iterable[str]) -> Iterator[DesignFault]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield DesignFault(f"the {kind} {name} is named twice", "name it once")
        seen.add(name)


def _numbers(design: Design) -> Iterator[DesignFault]:
    limits = {
        "minimum_effect": (0.0, 10.0),
        "alpha": (0.0, 0.5),
        "power": (0.5, 1.0),
        "window_days": (0.0, _MOST_DAYS),
        "winsorize_at": (0.0, math.inf),
    }
    for key, (low, high) in limits.items():
        value = getattr(design, key)
        if value is not None and not low < value < high:
            yield DesignFault(f"{key} is {value:g}", f"use a number between {low:g} and {high:g}")
    whole = {
        "planned_units": (FEWEST_UNITS, 10**12),
        "looks": (1, _MOST_LOOKS),
        "claim": (1, BUCKETS),
        "covariate_days": (0, int(_MOST_DAYS)),
        "step_units": (0, 10**9),
    }
    for key, (least, most) in whole.items():
        value = getattr(design, key)
        if not least <= value <= most:
            yield DesignFault(f"{key} is {value:,}", f"use {least:,} to {most:,}")
    if not 0 <= design.step_hours <= 24 * _MOST_DAYS:
        yield DesignFault(f"step_hours is {design.step_hours:g}", "use 0 to 8,760")


def _steps(design: Design) -> Iterator[DesignFault]:
    steps = design.steps
    if not steps or steps[0] < 1 or steps[-1] > BUCKETS:
        yield DesignFault(f"its steps are {list(steps)}", f"use enrolment buckets of 1 to {BUCKETS:,}")
    if design.kind == "bandit" and len(steps) == 1:
        yield DesignFault(
            "a bandit of one step enrols all units before an outcome is known",
            "give it many steps, such as each twentieth of the units",
        )
    if any(later <= earlier for earlier, later in pairwise(steps)):
        yield DesignFault(f"its steps are {list(steps)}", "put them in ascending order")
