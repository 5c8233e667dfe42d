"""Types of the problem file. Each field's docstring is also its comment in a written file."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from tastemaker.problem.rules import broken_rules
from tastemaker.util.canonical_texts import canonical_text

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
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(canonical_text),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Placement(_Part):
    """Which user is shown which items, where and when."""

    who: Name = "every known customer"
    """The users in scope, in words."""
    what: Name = "products of the catalogue"
    """The items in scope, in words."""
    where: Name = "home page"
    """The place where the list is shown, in words."""
    when: Name = "on each visit"
    """When a list is requested, in words."""
    k: Annotated[int, Field(ge=1, le=1000)] = 10
    """The number of items shown."""


class EventReward(_Part):
    """The reward of one event of a type: w · value^(1 if by_value else 0) · 2^(-delay / half-life)."""

    weight: Annotated[float, Field(ge=-1e6, le=1e6)] = 1.0
    """w: the reward of one event; negative for an unwanted event such as a return."""
    by_value: bool = False
    """Whether the reward is multiplied by the event's value (money)."""
    window_days: Annotated[float, Field(gt=0, le=365)] = 7.0
    """Δ: attribution window in days; events later than this after an impression are not attributed."""
    half_life_days: Annotated[float, Field(gt=0)] | None = None
    """Discount: days of delay after which a reward counts half; null: no discount."""


class Objective(_Part):
    """One objective; several are added up by their share."""

    name: Name
    """The objective's name, such as revenue or engagement."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """λ: the weight among the objectives; the shares add up to 1."""
    events: Annotated[dict[Name, EventReward], Field(min_length=1)]
    """The rewards by event type."""


class Guardrail(_Part):
    """A metric with a limit that a champion must respect."""

    metric: Metric
    """The metric, which is not the primary one."""
    at_least: float | None = None
    """The lower limit; null: none."""
    at_most: float | None = None
    """The upper limit; null: none."""


class SplitSpec(_Part):
    """The training window and the test period, which are the same for all users."""

    test_days: Annotated[int, Field(ge=1, le=365)] = 30
    """H: the horizon, the length in days of the test period, which follows the training window."""
    until: date | None = None
    """The last day (UTC) of the test period; null: the data's last day."""
    train_days: Annotated[int, Field(ge=1)] | None = None
    """The length in days of the training window; null: all history."""


class Slices(_Part):
    """Parts of the users and items with figures of their own: users=new, items=tail, country=France, ..."""

    new_below: Annotated[int, Field(ge=1)] = 5
    """users=new: users with fewer counted events than this before the test period; else users=old."""
    head_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """items=head: the fewest items with this share of all (user, item) pairs; else items=tail."""
    user_columns: tuple[Name, ...] = ("country",)
    """Columns of the table users, also custom ones of source.user_columns; each value is a slice."""
    max_loss: dict[Name, Annotated[float, Field(ge=0)]] = {}
    """Guardrails, by slice, or by dimension for all of its slices: how much a model may be worse than the
    baseline there, in the unit of the primary metric."""


class CandidateRules(_Part):
    """The constraint set: which items may be shown."""

    repeats: bool = True
    """Whether an item may be shown to a user who already had it."""
    available_days: Annotated[int, Field(ge=1)] | None = None
    """Days without an event after which an item is unavailable; null: every item is available."""
    blocked_categories: tuple[Name, ...] = ()
    """Categories that are never shown."""
    blocked_items: tuple[Name, ...] = ()
    """Items that are never shown."""


class ProblemSpec(_Part):
    """The whole problem. `tastemaker frame` writes it; `tastemaker frame --show` prints it as mathematics."""

    name: Name
    """The problem's name; each name has its own leaderboard and champion."""
    placement: Placement = Placement()
    """Which user is shown which items, where and when."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    """The objectives, as rewards of events. The event types are those of the data."""
    metric: Metric = "ndcg"
    """The primary metric, at k = placement.k: ndcg, recall, map, mrr, hit_rate or reward."""
    guardrails: tuple[Guardrail, ...] = ()
    """Metrics with limits that a champion must respect."""
    slices: Slices = Slices()
    """Parts of the users and items with figures of their own, and how much worse a model may be in them."""
    baseline: str = "popularity"
    """The model that any champion must be better than."""
    split: SplitSpec = SplitSpec()
    """The training window and the test period, which are the same for all users."""
    candidates: CandidateRules = CandidateRules()
    """The constraint set: which items may be shown."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        for mistake in broken_rules(self.model_dump()):
            raise PydanticCustomError(
                "rule", "{problem}; {fix}", {"problem": mistake.problem, "fix": mistake.fix}
            )
        return self

    @property
    def event_weights(self) -> dict[str, float]:
        """Σ over objectives of share · weight, by event type."""
        weights: dict[str, float] = {}
        for objective in self.objectives:
            for event_type, reward in objective.events.items():
                weights[event_type] = weights.get(event_type, 0.0) + objective.share * reward.weight
        return weights
