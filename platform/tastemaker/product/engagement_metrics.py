"""Definitions of engagement: what users did with the lists that they were shown.

The queries read `user_days`, one row per user, model, version, variant and day: `product.user_days`. A list
is closed when its attribution window is over; lists that may still earn something count in no rate of
rewards. In the SQL of a metric with slices, the slice's name in braces stands for its value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tastemaker.product.definition import MetricDefinition

POSITIONS = 10
"""Positions with figures of their own; further ones count in no `ctr_by_position`."""

_WINDOW = "FROM user_days WHERE day BETWEEN $first AND $last"


@dataclass(frozen=True, kw_only=True)
class CountMetric(MetricDefinition):
    """A sum over users, which has no interval: it is what happened, not an estimate."""

    over: str
    """SQL: a user's sum in the window."""

    @property
    def sql(self) -> str:
        """The sum of the users' sums."""
        return f'SELECT sum("over") AS value\nFROM (SELECT {self.over} AS "over" {_WINDOW} GROUP BY user_id)'


@dataclass(frozen=True, kw_only=True)
class RatioMetric(MetricDefinition):
    """A ratio of two sums over users, whose interval is over users."""

    over: str
    """SQL: a user's sum above the line."""
    under: str
    """SQL: a user's sum below the line."""
    events: str
    """SQL: a user's number of events that the value rests on; fewer than MIN_EVENTS give no value."""
    scale: int = 1
    """The value is so many times the ratio."""

    def of_slice(self, value: str) -> RatioMetric:
        """Return the metric of one slice, such as that of position 1."""
        filled = {
            name: getattr(self, name).replace(f"{{{self.slice}}}", value)
            for name in ("over", "under", "events")
        }
        return replace(self, **filled)

    @property
    def sql(self) -> str:
        """The ratio of the users' sums."""
        factor = "" if self.scale == 1 else f"{self.scale} * "
        return (
            f'SELECT {factor}sum("over") / sum("under") AS value\n'
            f'FROM (SELECT {self.over} AS "over", {self.under} AS "under" {_WINDOW} GROUP BY user_id)'
        )


@dataclass(frozen=True, kw_only=True)
class MedianMetric(MetricDefinition):
    """The median over users of each user's own median; its interval is between two ordered users."""

    values: str
    """SQL: the column of `user_days` that lists a user's values of the day."""

    @property
    def sql(self) -> str:
        """The median of the users' medians."""
        return f"""SELECT median(own) AS value
FROM (SELECT median(one) AS own
      FROM (SELECT user_id, unnest({self.values}) AS one {_WINDOW}) GROUP BY user_id)"""  # noqa: S608 - our own


@dataclass(frozen=True, kw_only=True)
class QuantileMetric(MetricDefinition):
    """A quantile over requests, without an interval: it is what the service did, not an estimate."""

    values: str
    """SQL: the column of `user_days` that lists the values of a user's requests."""
    quantile: float

    @property
    def sql(self) -> str:
        """The quantile of all values."""
        return (
            f"SELECT quantile_cont(one, {self.quantile}) AS value\n"
            f"FROM (SELECT unnest({self.values})::DOUBLE AS one {_WINDOW})"
        )


COUNTS = (
    CountMetric(
        name="requests",
        title="Requests",
        unit="requests",
        words="How many lists were asked for.",
        formula="Σ lists",
        does_not_say="Whether a user saw the list: it counts answers of the service, not views of a page.",
        direction="neither",
        page="engagement",
        over="sum(lists)",
    ),
    CountMetric(
        name="impressions",
        title="Impressions",
        unit="items",
        words="How many items were in the lists.",
        formula="Σ items of lists",
        does_not_say="Whether a user scrolled as far as the item.",
        direction="neither",
        page="engagement",
        over="sum(impressions)",
    ),
    CountMetric(
        name="users",
        title="Users answered",
        unit="users",
        words="How many different users were answered; each anonymous session counts as one.",
        formula="|{users with a list}|",
        does_not_say="How many people there are: one person with two ids counts twice.",
        direction="neither",
        page="engagement",
        over="1",
    ),
)

RATIOS = (
    RatioMetric(
        name="ctr_impression",
        title="Click-through rate per item shown",
        unit="share",
        words="The share of shown items that a user clicked, bought or otherwise rewarded.",
        formula="Σᵤ rewarded items ∕ Σᵤ items shown",
        does_not_say="Which version is better: versions were shown to different users, unless an experiment "
        "assigned them.",
        direction="up",
        page="engagement",
        over="sum(rewarded_impressions)",
        under="sum(closed_impressions)",
        events="sum(rewarded_impressions)",
    ),
    RatioMetric(
        name="ctr_list",
        title="Click-through rate per list",
        unit="share",
        words="The share of lists of which at least one item was clicked, bought or otherwise rewarded.",
        formula="Σᵤ lists with ≥ 1 rewarded item ∕ Σᵤ lists",
        does_not_say="How much a list earned: one click counts like five purchases.",
        direction="up",
        page="engagement",
        over="sum(rewarded_lists)",
        under="sum(closed_lists)",
        events="sum(rewarded_lists)",
    ),
    RatioMetric(
        name="reward_per_request",
        title="Reward per request",
        unit="reward",
        words="What a list earned on average, in the rewards of the problem file.",
        formula="Σᵤ reward ∕ Σᵤ lists",
        does_not_say="What the shop would have earned without the list: some of it would have been bought "
        "anyway.",
        direction="up",
        page="engagement",
        over="sum(reward)",
        under="sum(closed_lists)",
        events="sum(rewarded_lists)",
    ),
    RatioMetric(
        name="lists_per_user_day",
        title="Lists per user and day",
        unit="lists",
        words="How many lists a user was shown on a day with at least one; versions that share a day have a "
        "part of it each.",
        formula="Σᵤ lists ∕ Σᵤ days with a list",
        does_not_say="Whether more is better: a page that reloads asks again.",
        direction="neither",
        page="engagement",
        over="sum(lists)",
        under="sum(days)",
        events="sum(lists)",
    ),
    RatioMetric(
        name="model_answer_share",
        title="Lists by the model itself",
        unit="share",
        words="The share of lists that come from the model alone, without a fallback.",
        formula="Σᵤ lists of the model ∕ Σᵤ lists",
        does_not_say="Whether the model's lists are good.",
        direction="up",
        page="models",
        over="sum(model_lists)",
        under="sum(lists)",
        events="sum(lists)",
    ),
    RatioMetric(
        name="fallback_share",
        title="Lists with a fallback",
        unit="share",
        words="The share of lists that a fallback filled wholly or in part, such as with popular items.",
        formula="Σᵤ lists with a fallback ∕ Σᵤ lists",
        does_not_say="Why: the request log has the reason of each.",
        direction="down",
        page="models",
        over="sum(fallback_lists)",
        under="sum(lists)",
        events="sum(lists)",
    ),
    RatioMetric(
        name="empty_share",
        title="Empty lists",
        unit="share",
        words="The share of lists without any item.",
        formula="Σᵤ empty lists ∕ Σᵤ lists",
        does_not_say="Whether a list was shorter than asked for.",
        direction="down",
        page="models",
        over="sum(empty_lists)",
        under="sum(lists)",
        events="sum(lists)",
    ),
)

REWARDED_EVENTS = RatioMetric(
    name="rewarded_events_per_1000_lists",
    title="Rewarded events per 1,000 lists",
    unit="events",
    words="How many events of a type, such as purchases, 1,000 lists led to.",
    formula="1000 · Σᵤ credited events of the type ∕ Σᵤ lists",
    does_not_say="That the list caused the event: it is credited to the list that showed the item before.",
    direction="up",
    page="engagement",
    slice="event_type",
    over='sum("events_{event_type}")',
    under="sum(closed_lists)",
    events='sum("events_{event_type}")',
    scale=1000,
)
"""Its SQL reads one column per event type, such as `"events_purchase"`."""

CTR_BY_POSITION = RatioMetric(
    name="ctr_by_position",
    title="Click-through rate by position",
    unit="share",
    words=f"The share of items shown at a position, 1 to {POSITIONS}, that a user rewarded.",
    formula="Σᵤ rewarded items at position p ∕ Σᵤ items shown at position p",
    does_not_say="How good the items are: what stands first is seen first.",
    direction="neither",
    page="engagement",
    slice="position",
    over="sum(position_{position}_rewarded)",
    under="sum(position_{position}_shown)",
    events="sum(position_{position}_rewarded)",
)
"""Its SQL reads two columns per position, such as `position_1_shown` and `position_1_rewarded`."""

HOURS_TO_FIRST_CLICK = MedianMetric(
    name="hours_to_first_click",
    title="Hours to the first click",
    unit="hours",
    words="The median hours from a rewarded list to the first event that is credited to it.",
    formula="medianᵤ(median over u's rewarded lists of (first event − list))",
    does_not_say="Anything of lists without an event: they have no such time.",
    direction="down",
    page="engagement",
    values="hours_to_reward",
)

P99_MS = QuantileMetric(
    name="p99_ms",
    title="Slowest of 100 requests",
    unit="ms",
    words="The time within which 99 of 100 requests were answered, measured in the service.",
    formula="q₀.₉₉(milliseconds per request)",
    does_not_say="How long a user waited: the network and the page are not in it.",
    direction="down",
    page="models",
    values="latencies_ms",
    quantile=0.99,
)

ENGAGEMENT = (*COUNTS, *RATIOS, REWARDED_EVENTS, CTR_BY_POSITION, HOURS_TO_FIRST_CLICK, P99_MS)
