"""Drafts of experiments: a design from a few words, the problem and the champion."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.event_log.log_join import window_seconds
from tastemaker.experiments.design import BANDIT_STEPS, Design, VariantDesign
from tastemaker.experiments.design_checks import FEWEST_UNITS
from tastemaker.experiments.lifecycle.services import recipe_of
from tastemaker.experiments.plan import BUCKETS, Kind, in_proportion
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from tastemaker.workflows.workspace import Workspace

CONTROL = "control"
_SUM_TOLERANCE = 1e-6
_OF_LISTS = ("reward_per_request", "active_share", "ctr_list")
_OF_FLAGS = ("active_share",)
"""Secondary metrics that need no list: the shop's own code reports exposures of a flag, not lists."""


def named_variants(workspace: Workspace, texts: Sequence[str], kind: Kind) -> dict[str, VariantDesign]:
    """Return the variants of models, with equal shares; the champion is control unless one is named so.

    Args:
        workspace: The home folder, whose registry has the versions.
        texts: `[NAME=]MODEL[@VERSION]`; without a version, the newest one of the model.
        kind: The kind of experiment; an A/A experiment without variants has the champion twice.

    Raises:
        TastemakerError: There is no such version, a name is used twice, or there is no champion for control.
    """
    problem = workspace.problem.name
    found: dict[str, VariantDesign] = {}
    for text in texts:
        name, equals, rest = text.rpartition("=")
        model, _, version = rest.partition("@")
        chosen = version or workspace.registry.newest(model, problem=problem).id
        _add(
            found, name if equals else _free_name(found), VariantDesign(share=0, model=model, version=chosen)
        )
    if CONTROL not in found:
        champion = workspace.registry.champion(problem)
        if champion is None:
            raise TastemakerError(
                "there is no champion to compare with",
                fix=f"name control: --variant {CONTROL}=MODEL, or promote a version first: tastemaker run",
            )
        served = VariantDesign(share=0, model=champion.model, version=champion.id)
        found = {CONTROL: served, **found}
        if kind == "aa" and not texts:
            found[_free_name(found)] = served
    return found


def as_recipes(workspace: Workspace, variants: Mapping[str, VariantDesign]) -> dict[str, VariantDesign]:
    """Return variants that follow their models as they are trained again, with the configs of their versions.

    Args:
        workspace: The home folder, whose registry has the versions.
        variants: Variants with frozen versions.
    """
    return {
        name: msgspec.structs.replace(
            one, version=None, recipe=recipe_of(workspace.registry.get(str(one.version)))
        )
        for name, one in variants.items()
    }


def flag_variants(texts: Sequence[str]) -> dict[str, VariantDesign]:
    """Return the variants of a flag of the shop's own code; the first is control.

    Args:
        texts: `NAME=VALUE`, the value as JSON or as text.

    Raises:
        TastemakerError: A text has no value, or a name is used twice.
    """
    found: dict[str, VariantDesign] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise TastemakerError(f"the flag {text!r} has no value", fix="write it as --flag on=true")
        _add(found, name, VariantDesign(share=0, value=_value(value)))
    return found


def with_shares(
    variants: Mapping[str, VariantDesign], given: Mapping[str, float]
) -> dict[str, VariantDesign]:
    """Return variants with their buckets; those without a given share divide the rest equally.

    Args:
        variants: Variants by name, whose shares are replaced.
        given: Shares, 0 to 1, by variant.

    Raises:
        TastemakerError: A share is of an unknown variant, or they don't add up to less than 1, or to 1 where
            all are given; each may be rounded down to whole buckets.
    """
    for name in given:
        if name not in variants:
            raise TastemakerError(f"there is no variant {name!r}", fix=f"name one of {', '.join(variants)}")
    rest = [name for name in variants if name not in given]
    total = sum(given.values())
    if rest and total >= 1:
        raise TastemakerError(
            f"the shares add up to {total:.7g}, which leaves nothing for {', '.join(rest)}",
            fix="let them add up to less than 1",
        )
    each = (1 - total) / len(rest) if rest else 0
    found = {name: int(BUCKETS * given.get(name, each) + _SUM_TOLERANCE) for name in variants}
    if total > 1 + _SUM_TOLERANCE or BUCKETS - sum(found.values()) >= len(variants):
        missing = f", so {1 - total:.4g} of the units would be in no variant" if total < 1 else ", must be 1"
        scaled = " ".join(f"--share {name}={one / BUCKETS:g}" for name, one in in_proportion(given).items())
        raise TastemakerError(
            f"the shares add up to {total:.7g}{missing}",
            fix=f"to keep their proportions, write {scaled}",
        )
    return {name: msgspec.structs.replace(one, share=found[name]) for name, one in variants.items()}


def draft(workspace: Workspace, name: str, variants: Mapping[str, VariantDesign], **given: Any) -> Design:
    """Return a design: what is not given is that of the settings and the problem, or `Design`'s default.

    Without planned units it has the fewest that are allowed, until `planned` replaces them.

    Args:
        workspace: The home folder, whose settings and problem give the defaults.
        name: The name of the new experiment.
        variants: The variants with their shares.
        given: Fields of `Design`; those that are None are left out.
    """
    defaults: dict[str, Any] = {
        "namespace": workspace.settings.experiments.namespace,
        "control": CONTROL if CONTROL in variants else next(iter(variants), CONTROL),
        "primary": "reward_per_user",
        "secondary": _OF_LISTS if any(one.model for one in variants.values()) else _OF_FLAGS,
        "minimum_effect": 0.02,
        "window_days": window_seconds(workspace.problem) / DAY_SECONDS,
    }
    if given.get("kind") == "bandit":
        defaults["steps"] = BANDIT_STEPS
    chosen = defaults | {key: value for key, value in given.items() if value is not None}
    chosen["secondary"] = tuple(one for one in chosen["secondary"] if one != chosen["primary"])
    return Design(name=name, variants=dict(variants), **{"planned_units": FEWEST_UNITS} | chosen)


def planned(workspace: Workspace, design: Design) -> tuple[Design, str]:
    """Return a design with the units that the log says it needs, and what the log says in a sentence.

    Args:
        workspace: The home folder, whose log is drained before.
        design: The design; its planned units are replaced.

    Raises:
        TastemakerError: The log can't say it.
    """
    from tastemaker.event_log.shipping import collect
    from tastemaker.experiments.analysis.planner import plan_traffic

    collect(workspace.settings, workspace.lake)
    try:
        found = plan_traffic(workspace.lake, workspace.problem, design)
    except TastemakerError as error:
        raise TastemakerError(
            f"how many units {design.name} needs can't be planned from the log: {error.problem}",
            fix="pass --planned-units 20000",
        ) from error
    return msgspec.structs.replace(design, planned_units=max(found.units, FEWEST_UNITS)), found.sentence


def uncarried_names(workspace: Workspace, design: Design) -> list[str]:
    """Return what a design names and the log does not carry, in words.

    Args:
        workspace: The workspace, whose log is drained before.
        design: A design; without targeting, the log is not drained.
    """
    from tastemaker.event_log.shipping import collect
    from tastemaker.experiments.carried import uncarried

    if design.targeting:
        collect(workspace.settings, workspace.lake)
    return uncarried(workspace.lake, design, datetime.now(UTC))


def _add(found: dict[str, VariantDesign], name: str, variant: VariantDesign) -> None:
    if name in found:
        raise TastemakerError(f"two variants have the name {name!r}", fix="give each a name of its own")
    found[name] = variant


def _free_name(found: Mapping[str, VariantDesign]) -> str:
    """Return the next of b, c, d, ..."""
    letters: Sequence[str] = (*ascii_lowercase[1:], *(f"variant-{n}" for n in range(len(found) + 1)))
    return next(one for one in letters if one not in found)


def _value(text: str) -> Any:
    """Return the value of JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
