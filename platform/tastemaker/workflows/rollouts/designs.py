"""The experiments that take the steps of a rollout: a shadow, a canary with its ramp, or a comparison.

The canary's figures are of equal numbers of users with the new version and with the champion, so that at an
enrolment of 2 % each has 1 %. Its namespace is its own, without a cool-down: no effect is estimated from it,
and the next version must not wait for users who could carry something over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from tastemaker.errors import RegistryError
from tastemaker.experiments.design import Design, VariantDesign
from tastemaker.experiments.lifecycle.services import versions_of
from tastemaker.experiments.lifecycle.states import ROLLOUT
from tastemaker.experiments.plan import BUCKETS, Kind
from tastemaker.workflows import experiment_draft
from tastemaker.workflows.experiment_draft import CONTROL

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.rollouts.pace import Pace
    from tastemaker.workflows.workspace import Workspace

NAMESPACE = "rollouts"
NEW = "new"
"""The variant of the new version."""
SHADOW_SHARE = 100_000
"""Buckets of the users whose requests are copied: a tenth of the work once more."""
_HOURS_OF_A_DAY = 24.0


def owner_of(rollout_id: int) -> str:
    """Return the name by which a rollout acts on its experiments."""
    return f"{ROLLOUT}{rollout_id}"


def shadow_name(rollout_id: int) -> str:
    """Return the name of a rollout's shadow."""
    return f"rollout-{rollout_id}-shadow"


def steps_name(rollout_id: int) -> str:
    """Return the name of the experiment that takes a rollout's steps with users."""
    return f"rollout-{rollout_id}"


def shadow_design(
    workspace: Workspace, rollout_id: int, champion: Version, version: Version, pace: Pace
) -> Design:
    """Return the design of a rollout's shadow: a tenth of the requests is copied to the new version.

    Args:
        workspace: The home folder, whose settings and problem give the defaults.
        rollout_id: The rollout's id, which is in the names of the experiment and its owner.
        champion: The champion, whose lists users get.
        version: The new version, whose answers no user gets.
        pace: The steps of the rollout.
    """
    shares = {CONTROL: BUCKETS - SHADOW_SHARE, NEW: SHADOW_SHARE}
    name = shadow_name(rollout_id)
    found = _design(workspace, name, "shadow", rollout_id, champion, version, shares, pace)
    return msgspec.structs.replace(found, steps=(BUCKETS,))


def canary_design(
    workspace: Workspace, rollout_id: int, champion: Version, version: Version, pace: Pace
) -> Design:
    """Return the design of a rollout's canary and ramp: equal numbers of users have either version.

    Args:
        workspace: The home folder, whose settings and problem give the defaults.
        rollout_id: The rollout; 0 for a plan before there is one.
        champion: The champion, which is control.
        version: The version that may replace it.
        pace: The steps of the rollout; at each, the new version's users are the step's share of all.
    """
    halves = {CONTROL: BUCKETS // 2, NEW: BUCKETS // 2}
    return _design(workspace, steps_name(rollout_id), "rollout", rollout_id, champion, version, halves, pace)


def comparison_design(workspace: Workspace, rollout_id: int, champion: Version, version: Version) -> Design:
    """Return the design of an experiment of the new version against the champion, half and half.

    Its variants are recipes, which are trained again while it runs, unless both are the same recipe, or were
    never trained on data with the same end. Its planned units are those of the log, once
    `experiment_draft.planned` was asked.

    Args:
        workspace: The home folder, whose settings, problem and registry are used.
        rollout_id: The rollout; 0 for a plan before there is one.
        champion: The champion, which is control.
        version: The version that may replace it.
    """
    halves = {CONTROL: BUCKETS // 2, NEW: BUCKETS // 2}
    variants = _variants(halves, champion, version)
    recipes = experiment_draft.as_recipes(workspace, variants)
    if not _are_comparable(workspace, version.problem, recipes):
        recipes = variants
    return experiment_draft.draft(
        workspace, steps_name(rollout_id), recipes, owner=owner_of(rollout_id),
        hypothesis=_hypothesis(champion, version),
    )  # fmt: skip


def _are_comparable(workspace: Workspace, problem: str, recipes: Mapping[str, VariantDesign]) -> bool:
    """Return whether recipes are different ones, which were trained on data with the same end."""
    try:
        found = versions_of(workspace.registry, problem, recipes)
    except RegistryError:
        return False
    return len({one.id for one in found.values()}) == len(recipes)


def _design(
    workspace: Workspace,
    name: str,
    kind: Kind,
    rollout_id: int,
    champion: Version,
    version: Version,
    shares: dict[str, int],
    pace: Pace,
) -> Design:
    return experiment_draft.draft(
        workspace, name, _variants(shares, champion, version), kind=kind, namespace=NAMESPACE,
        owner=owner_of(rollout_id), hypothesis=_hypothesis(champion, version),
        steps=tuple(round(2 * one * BUCKETS) for one in pace.shares), step_hours=pace.step_hours,
        window_days=min(pace.step_hours / _HOURS_OF_A_DAY, 1.0), covariate_days=0,
    )  # fmt: skip


def _variants(shares: dict[str, int], champion: Version, version: Version) -> dict[str, VariantDesign]:
    named = {CONTROL: champion, NEW: version}
    return {
        name: VariantDesign(share=shares[name], model=one.model, version=one.id)
        for name, one in named.items()
    }


def _hypothesis(champion: Version, version: Version) -> str:
    return f"{version.model} {version.id} serves users as well as the champion {champion.model} {champion.id}"
