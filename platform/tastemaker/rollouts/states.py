"""The states of a rollout, and the actions of people that are possible in each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

RolloutPath = Literal["rollout", "experiment", "offline"]
"""How a version enters production."""
RolloutState = Literal[
    "approval", "shadow", "canary", "ramp", "held", "promoted", "rolled_back", "declined", "failed"
]
RolloutAction = Literal["approve", "hold", "resume", "roll_back", "decline"]
"""What a person does with a rollout."""
ENDED: frozenset[RolloutState] = frozenset({"promoted", "rolled_back", "declined", "failed"})
"""States that a rollout does not leave."""
REFUSED: frozenset[RolloutState] = frozenset({"rolled_back", "declined"})
"""Ends that say something about the version: automation does not try it again. One that failed was ended by
something else."""
POSSIBLE: Mapping[RolloutAction, tuple[RolloutState, ...]] = MappingProxyType(
    {
        "approve": ("approval",),
        "hold": ("approval", "shadow", "canary", "ramp"),
        "resume": ("held",),
        "roll_back": ("shadow", "canary", "ramp", "held"),
        "decline": ("approval", "shadow", "canary", "ramp", "held"),
    }
)
"""Action -> the states in which it is possible."""
SCHEDULE = "schedule"
"""The actor of what needs no person."""
APPROVED = "approved"
"""Key of a change's evidence: a person approved the version."""
SHADOW_SINCE = "shadow_since"
"""Key of a change's evidence: when the first version of the recipe came into the shadow."""
NEWER_FIT = "newer_fit"
"""Key of a change's evidence: the version differs from the champion by newer data alone."""
CHECKS = "checks"
"""Key of a change's evidence: the guardrails, each with its verdict and figures."""
