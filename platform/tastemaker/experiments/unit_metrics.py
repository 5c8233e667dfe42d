"""Metrics of experiments: figures per unit, such as a user, of which variants have means or ratios of sums.

A product metric counts the lists of a window of days; a metric here counts what a unit did from its first
exposure until its window is over. Where both mean the same, title, unit and words are those of
`tastemaker.product.definitions`. The columns are computed by `tastemaker.experiments.analysis.units`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from tastemaker.errors import TastemakerError
from tastemaker.problem import ProblemSpec
from tastemaker.product import definitions
from tastemaker.product.definition import Direction, Unit
from tastemaker.util.spelling import did_you_mean

Origin = Literal["events", "lists", "credits"]
"""What a column is computed from: the events of the unit's users, the unit's lists, or the events that are
credited to items of these lists."""
Margin = Literal["relative", "difference"]
"""How a guardrail's margin is meant: relative to control's value, or as a difference."""

EVENTS_PER_USER = "events_per_user"
"""Begins the names of the metrics of one type of event, such as events_per_user:purchase."""
ORIGINS: dict[str, Origin] = {
    "reward": "events",
    "is_active": "events",
    "lists": "lists",
    "items": "lists",
    "fallback_lists": "lists",
    "empty_lists": "lists",
    "short_lists": "lists",
    "slow_lists": "lists",
    "wrong_version_lists": "lists",
    "list_reward": "credits",
    "rewarded_lists": "credits",
    "rewarded_items": "credits",
}
"""Columns per unit. Those that count one type of event are named by `events_column`."""


@dataclass(frozen=True, kw_only=True)
class UnitMetric:
    """A mean of a column over units, or a ratio of the sums of two columns."""

    name: str
    title: str
    unit: Unit
    words: str
    """One plain sentence."""
    over: str
    """Column per unit: the values, or what is above the line."""
    under: str | None = None
    """Column per unit below the line; None: every unit counts once."""
    direction: Direction = "up"
    margin: Margin = "relative"
    event_type: str | None = None
    """The type of event that it counts; None: no single one."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs."""
        return (self.over,) if self.under is None else (self.over, self.under)

    @property
    def origins(self) -> frozenset[Origin]:
        """What its columns are computed from."""
        return frozenset(ORIGINS.get(column, "events") for column in self.columns)


def events_column(event_type: str) -> str:
    """Return the name of the column that counts a type of event."""
    return f"events_{event_type}"


def _of_product(name: str, over: str, under: str, margin: Margin = "relative") -> UnitMetric:
    """Return a metric that means the same as a product metric, by its unit's lists."""
    known = definitions.get(name)
    return UnitMetric(
        name=name,
        title=known.title,
        unit=known.unit,
        words=known.words,
        over=over,
        under=under,
        direction=known.direction,
        margin=margin,
    )


METRICS: dict[str, UnitMetric] = {
    one.name: one
    for one in (
        UnitMetric(
            name="reward_per_user",
            title="Reward per user",
            unit="reward",
            words="What a user earned the shop in the window, whichever list an event came from, if any.",
            over="reward",
        ),
        _of_product("reward_per_request", "list_reward", "lists"),
        _of_product("ctr_list", "rewarded_lists", "lists"),
        _of_product("ctr_impression", "rewarded_items", "items"),
        UnitMetric(
            name="active_share",
            title="Active users",
            unit="share",
            words="The share of users with at least one event in the window that the problem rewards.",
            over="is_active",
        ),
        UnitMetric(
            name="requests_per_user",
            title="Requests per user",
            unit="requests",
            words="How many lists a user asked for in the window.",
            over="lists",
        ),
        _of_product("fallback_share", "fallback_lists", "lists", "difference"),
        _of_product("empty_share", "empty_lists", "lists", "difference"),
        UnitMetric(
            name="short_share",
            title="Short lists",
            unit="share",
            words="The share of lists with fewer items than were asked for.",
            over="short_lists",
            under="lists",
            direction="down",
            margin="difference",
        ),
        UnitMetric(
            name="slow_share",
            title="Slow lists",
            unit="share",
            words="The share of lists that took longer than the limit of the alert `slow`.",
            over="slow_lists",
            under="lists",
            direction="down",
            margin="difference",
        ),
        UnitMetric(
            name="wrong_version_share",
            title="Lists of another version",
            unit="share",
            words="The share of a variant's lists that another version than the designed one made.",
            over="wrong_version_lists",
            under="lists",
            direction="down",
            margin="difference",
        ),
    )
}
"""All metrics by name, except those of one type of event."""


def find(name: str, event_types: Collection[str] = ()) -> UnitMetric:
    """Return a metric by its name.

    Args:
        name: Such as reward_per_user, or events_per_user:purchase.
        event_types: The types of events that the problem rewards.

    Raises:
        TastemakerError: There is no such metric, or no event carries it.

    >>> find("events_per_user:purchase", ["click", "purchase"]).over
    'events_purchase'
    >>> find("events_per_user:sale", ["click", "purchase"])
    Traceback (most recent call last):
        ...
    tastemaker.errors.TastemakerError: events_per_user:sale: no event carries it, the problem has no sale
      fix: write events_per_user: and one of click, purchase
    """
    kind, colon, event_type = name.partition(":")
    if kind == EVENTS_PER_USER and colon:
        if event_type not in event_types:
            raise TastemakerError(
                f"{name}: no event carries it, the problem has no {event_type or 'type without a name'}",
                fix=f"write {EVENTS_PER_USER}: and one of {', '.join(sorted(event_types)) or 'its types'}",
            )
        return _of_type(name, event_type)
    if name in METRICS:
        return METRICS[name]
    known = [*METRICS, *(f"{EVENTS_PER_USER}:{one}" for one in sorted(event_types))]
    raise TastemakerError(
        f"there is no metric {name!r} of units",
        fix=did_you_mean(name, known, f"use one of: {', '.join(known)}"),
    )


def unit_metric_title(name: str) -> str:
    """Return the title of a metric; of a type of event, and of a metric that is gone, its name."""
    return METRICS[name].title if name in METRICS else name


def find_all(names: Iterable[str], problem: ProblemSpec) -> dict[str, UnitMetric]:
    """Return metrics by name, each once.

    Args:
        names: Names as `find` takes them; they may repeat.
        problem: Says which types of events it rewards.

    Returns:
        Name -> metric, in the order of the names.

    Raises:
        TastemakerError: As `find`.
    """
    types = rewarded_types(problem)
    return {name: find(name, types) for name in names}


def counted_types(metrics: Iterable[UnitMetric], problem: ProblemSpec) -> set[str]:
    """Return the types of events that metrics use: their own, or all that the problem rewards.

    Args:
        metrics: Metrics of one experiment.
        problem: Says which types of events it rewards.

    Returns:
        All rewarded types where a metric counts no single type; empty where none counts events.
    """
    counting = [one for one in metrics if one.origins & {"events", "credits"}]
    if all(one.event_type for one in counting):
        return {one.event_type for one in counting if one.event_type}
    return set(rewarded_types(problem))


def rewarded_types(problem: ProblemSpec) -> list[str]:
    """Return the types of events that the problem rewards, positively or not."""
    return sorted({name for objective in problem.objectives for name in objective.events})


def _of_type(name: str, event_type: str) -> UnitMetric:
    return UnitMetric(
        name=name,
        title=f"{event_type.capitalize()} events per user",
        unit="events",
        words=f"How many events of type {event_type} a user had in the window.",
        over=events_column(event_type),
        event_type=event_type,
    )
