"""The types of a problem file. Each field's docstring is also its comment in a file that is written."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from tastemaker.problem.rules import broken_rules

Metric = Literal[
    "ndcg",
    "recall",
    "map",
    "mrr",
    "hit_rate",
    "reward",
    "coverage",
    "novelty",
    "diversity",
    "popularity_bias",
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Placement(_Part):
    """Which user is shown which items, where and when."""

    who: Name = "every known customer"
    """The users in scope, in words."""
    what: Name = "products of the catalogue"
    """The items in scope, in words."""
    where: Name = "home page"
    """The surface."""
    when: Name = "on each visit"
    """The moment of the decision."""
    k: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many items are shown."""


class EventReward(_Part):
    """What one event of a type is worth: w · value^(1 if by_value else 0) · 2^(-delay / half-life)."""

    weight: Annotated[float, Field(ge=-1e6, le=1e6)] = 1.0
    """w: the reward of one event; negative for harm such as a return."""
    by_value: bool = False
    """Multiply by the event's value (money)."""
    window_days: Annotated[float, Field(gt=0, le=365)] = 7.0
    """Δ: an event later than this after the impression is not credited to it."""
    half_life_days: Annotated[float, Field(gt=0)] | None = None
    """Discount: a reward that comes this late counts half. null: no discount."""


class Objective(_Part):
    """One thing to want; several are added up by their share."""

    name: Name
    """Such as revenue or engagement."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """λ: its weight among the objectives; the shares add up to 1."""
    events: Annotated[dict[Name, EventReward], Field(min_length=1)]
    """Event type -> its reward."""


class Guardrail(_Part):
    """A metric that may not be bought with the primary one."""

    metric: Metric
    at_least: float | None = None
    """Lower limit."""
    at_most: float | None = None
    """Upper limit."""


class Split(_Part):
    """Train before, test after: the moments are the same for all users."""

    test_days: Annotated[int, Field(ge=1, le=365)] = 30
    """H: the horizon, the length of the period after the training window that is evaluated."""
    until: date | None = None
    """The last day (UTC) that counts: the test period ends with it; null: the data's last day."""
    train_days: Annotated[int, Field(ge=1)] | None = None
    """The training window's length; null: all history."""


class Slices(_Part):
    """Parts of the users and items that are evaluated apart: users=new, items=tail, country=France, ..."""

    new_below: Annotated[int, Field(ge=1)] = 5
    """users=new: fewer counted events than this before the test period; else users=old."""
    head_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """items=head: the fewest items that make up this share of what users had; else items=tail."""
    user_columns: tuple[Name, ...] = ("country",)
    """Columns of the table users, also own ones that source.user_columns keeps; each value is a slice."""
    max_loss: dict[Name, Annotated[float, Field(ge=0)]] = {}
    """Guardrails: slice, or dimension for all of its slices -> by how much of the primary metric a model may
    fall behind the baseline there."""


class CandidateRules(_Part):
    """The constraint set: what may be shown."""

    repeats: bool = True
    """May an item be shown to a user who already had it?"""
    available_days: Annotated[int, Field(ge=1)] | None = None
    """An item without an event in this many days counts as unavailable; null: everything is available."""
    blocked_categories: tuple[Name, ...] = ()
    """Categories that are never shown."""
    blocked_items: tuple[Name, ...] = ()
    """Items that are never shown."""


class ProblemSpec(_Part):
    """The whole problem. `tastemaker frame` writes it; `tastemaker frame --show` prints it as mathematics."""

    name: Name
    """What people call this problem; leaderboards are kept apart by it."""
    placement: Placement = Placement()
    """Which user is shown which items, where and when."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    """What is wanted, as rewards of events. The event types are those of the data."""
    metric: Metric = "ndcg"
    """The primary metric, at k = placement.k: ndcg, recall, map, mrr, hit_rate or reward."""
    guardrails: tuple[Guardrail, ...] = ()
    """Metrics that may not be bought with the primary one."""
    slices: Slices = Slices()
    """Parts of the users and items that are evaluated apart, and what a model may lose in them."""
    baseline: str = "popularity"
    """The model that any champion must beat."""
    split: Split = Split()
    """Train before, test after: the moments are the same for all users."""
    candidates: CandidateRules = CandidateRules()
    """The constraint set: what may be shown."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        for finding in broken_rules(self.model_dump()):
            raise PydanticCustomError(
                "rule", "{problem}; {fix}", {"problem": finding.problem, "fix": finding.fix}
            )
        return self

    @property
    def event_weights(self) -> dict[str, float]:
        """Event type -> Σ over objectives of share · weight."""
        weights: dict[str, float] = {}
        for objective in self.objectives:
            for event_type, reward in objective.events.items():
                weights[event_type] = weights.get(event_type, 0.0) + objective.share * reward.weight
        return weights
