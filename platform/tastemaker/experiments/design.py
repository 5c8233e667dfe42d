"""The design of an experiment: what is written down before it starts, and what decides its result.

A design is stored with the experiment and never changed: a new one is a new revision, and a new epoch where
assignments change.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tastemaker.experiments.plan import BUCKETS, Kind, TargetingRule

Role = Literal["primary", "secondary", "guardrail", "exploratory"]
"""Primary metrics decide, guardrails may stop, secondary ones are corrected for their number, exploratory
ones (slices) only give ideas."""

BANDIT_STEPS = (10_000, *range(50_000, BUCKETS + 1, 50_000))
"""Enrolment buckets of a bandit's steps: each is one chance to let the shares follow the outcomes."""


class VariantDesign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A variant: what answers, and for which share of the units."""

    share: int
    """Buckets of the 1,000,000."""
    model: str | None = None
    """The model that answers; None for a flag of the shop's own code."""
    version: str | None = None
    """The frozen version; None where `recipe` names what is trained again."""
    recipe: str | None = None
    """The configuration whose newest version answers: recipes are trained at the same time."""
    address: str | None = None
    """The service, where it runs elsewhere: `http://host:port`."""
    value: Any = None
    """The flag's value: any JSON value."""


class GuardrailDesign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric that must not become worse than control by more than a margin."""

    metric: str
    margin: float
    """The accepted loss: a relative difference for rewards, a difference of shares for serving metrics."""


class Design(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The design of an experiment."""

    name: str
    namespace: str
    kind: Kind = "ab"
    owner: str
    hypothesis: str
    """What is expected, and why, in words."""
    control: str
    variants: dict[str, VariantDesign]
    """By name. Their shares add up to at most 1,000,000."""
    primary: str
    """The metric that decides."""
    secondary: tuple[str, ...] = ()
    guardrails: tuple[GuardrailDesign, ...] = ()
    minimum_effect: float
    """The smallest relative difference that matters, such as 0.02: the experiment is planned to find it."""
    alpha: float = 0.05
    """Two-sided, over all looks."""
    power: float = 0.8
    planned_units: int
    """Matured units of all variants at the last look."""
    window_days: float
    """How long a unit's events count, from its first exposure. A unit is mature when it is over."""
    looks: int = 14
    """Planned looks, at equal steps of information."""
    steps: tuple[int, ...] = (10_000, 50_000, 200_000, BUCKETS)
    """Enrolment buckets of each step, ascending."""
    step_hours: float = 24.0
    """The shortest time at a step."""
    step_units: int = 50
    """The fewest units of each variant at a step."""
    claim: int = BUCKETS
    """Buckets of the namespace."""
    covariate_days: int = 28
    """Days before the first exposure whose figures adjust the effect (CUPED); 0: none."""
    winsorize_at: float | None = None
    """Values of the primary metric above this count as this, in all variants; None: no value is cut."""
    slices: tuple[str, ...] = ()
    """Columns of users whose values make exploratory slices, such as country."""
    targeting: tuple[TargetingRule, ...] = ()
    data_diversion: bool = False
    """Whether a version learns online from its own lists only."""
