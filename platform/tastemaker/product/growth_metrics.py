"""Definitions of growth: how many users are active, new, back or lost.

The queries read `activity`, one row per user and day on which the user did something, and `firsts`, one row
per user with the first day of activity. `$last` is the last day of the window. Windows of 28 days, and the 28
days before them, have the same days of the week.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tastemaker.product.definition import MetricDefinition

AROUND_DAYS = 56
"""How many days, up to the window's last, the figures look at: 28, and the 28 before."""
_ROWS = "SELECT *, $last AS last FROM activity WHERE day BETWEEN $last - 55 AND $last"


def users_around(rows: str) -> str:
    """Return the SQL of one row per user who was active in the 56 days up to `last`.

    Args:
        rows: SQL of rows of `activity`, each with the window's last day.
    """
    return f"""
    SELECT last, user_id, any_value(first_day) AS first_day,
        bool_or(day = last) AS is_here_today, bool_or(day > last - 7) AS is_here_in_7,
        count(*) FILTER (day > last - 28) AS days, count(*) FILTER (day <= last - 28) AS days_before,
        (max(day) - min(day) FILTER (day > last - 28)) / nullif(days - 1, 0) AS days_between
    FROM ({rows}) JOIN firsts USING (user_id) GROUP BY last, user_id"""  # noqa: S608 - our own


Figure = Literal["count", "share", "mean", "median"]
"""`count` of users, without an interval; `share` of users; `mean` and `median` over users."""


@dataclass(frozen=True, kw_only=True)
class GrowthMetric(MetricDefinition):
    """A figure of the whole shop over the days that end at the window's last day."""

    figure: Figure = "count"
    of: str = "true"
    """SQL: what is counted or averaged per user, over the rows of `users_around`."""
    among: str
    """SQL: which users the figure is of."""
    days: int = 28
    """Length of its window in days."""
    needs_days: int = 28
    """How many days of data, up to the window's last, it needs."""

    @property
    def value(self) -> str:
        """SQL: the value, over the rows of `users_around`."""
        figure = {
            "count": "count(*)",
            "share": f"avg(({self.of})::INTEGER)",
            "mean": f"avg({self.of})",
            "median": f"median({self.of})",
        }[self.figure]
        return f"{figure} FILTER ({self.among})"

    @property
    def sql(self) -> str:
        """The figure over the users around the last day."""
        return f"SELECT {self.value} AS value\nFROM ({users_around(_ROWS)}\n)"


_ACTIVE, _BEFORE = "days > 0", "days_before > 0"
_BACK = "days_before = 0 AND first_day <= last - 28"


GROWTH = (
    GrowthMetric(
        name="dau",
        title="Daily active users",
        unit="users",
        words="How many users did something on the day; being shown a list does not count.",
        formula="|{u : active on day t}|",
        does_not_say="How many people there are, or how much each did.",
        direction="up",
        page="churn",
        among="is_here_today",
        days=1,
        needs_days=1,
    ),
    GrowthMetric(
        name="wau",
        title="Weekly active users",
        unit="users",
        words="How many users did something on at least one of the last 7 days.",
        formula="|{u : active in t − 6 … t}|",
        does_not_say="How often each came.",
        direction="up",
        page="churn",
        among="is_here_in_7",
        days=7,
        needs_days=7,
    ),
    GrowthMetric(
        name="mau",
        title="Monthly active users",
        unit="users",
        words="How many users did something on at least one of the last 28 days.",
        formula="|{u : active in t − 27 … t}|",
        does_not_say="How often each came; four weeks are shorter than most months.",
        direction="up",
        page="churn",
        among=_ACTIVE,
    ),
    GrowthMetric(
        name="stickiness",
        title="Stickiness",
        unit="share",
        words="The share of the 28 days on which an active user was active, averaged over active users.",
        formula="(Σ days of 28 DAU ∕ 28) ∕ MAU",
        does_not_say="Whether few users come daily or many come now and then.",
        direction="up",
        page="churn",
        figure="mean",
        of="days / 28.0",
        among=_ACTIVE,
    ),
    GrowthMetric(
        name="new_users_28",
        title="New users",
        unit="users",
        words="How many active users did something for the first time in the last 28 days.",
        formula="|{u : first day in t − 27 … t}|",
        does_not_say="Whether they will stay.",
        direction="up",
        page="churn",
        among=f"{_ACTIVE} AND first_day > last - 28",
        needs_days=56,
    ),
    GrowthMetric(
        name="retained_users_28",
        title="Retained users",
        unit="users",
        words="How many users were active in the last 28 days and in the 28 days before.",
        formula="|{u : active in t − 27 … t and in t − 55 … t − 28}|",
        does_not_say="Whether they do more or less than before.",
        direction="up",
        page="churn",
        among=f"{_ACTIVE} AND {_BEFORE}",
        needs_days=56,
    ),
    GrowthMetric(
        name="resurrected_users_28",
        title="Resurrected users",
        unit="users",
        words="How many users came back after at least 28 days without an act.",
        formula="|{u : active in t − 27 … t, not in t − 55 … t − 28, but before}|",
        does_not_say="What brought them back.",
        direction="up",
        page="churn",
        among=f"{_ACTIVE} AND {_BACK}",
        needs_days=56,
    ),
    GrowthMetric(
        name="lost_users_28",
        title="Lost users",
        unit="users",
        words="How many users were active in the 28 days before, but not in the last 28.",
        formula="|{u : active in t − 55 … t − 28, not in t − 27 … t}|",
        does_not_say="That they are gone for good: some come back later as resurrected users.",
        direction="down",
        page="churn",
        among=f"{_BEFORE} AND days = 0",
        needs_days=56,
    ),
    GrowthMetric(
        name="churn_28",
        title="Churn",
        unit="share",
        words="The share of the users active in the 28 days before who were not active in the last 28.",
        formula="lost ∕ |{u : active in t − 55 … t − 28}|",
        does_not_say="Why they left, or whether they would have left anyway.",
        direction="down",
        page="churn",
        figure="share",
        of="days = 0",
        among=_BEFORE,
        needs_days=56,
    ),
    GrowthMetric(
        name="resurrection_28",
        title="Resurrection",
        unit="share",
        words="The share of the active users who came back after at least 28 days without an act.",
        formula="resurrected ∕ MAU",
        does_not_say="Which share of the lost users comes back: it is a share of those who are here.",
        direction="up",
        page="churn",
        figure="share",
        of=_BACK,
        among=_ACTIVE,
        needs_days=56,
    ),
    GrowthMetric(
        name="days_between_visits",
        title="Days between visits",
        unit="days",
        words="The median over users of the mean days from one active day to the next, within 28 days.",
        formula="medianᵤ((u's last day − u's first day) ∕ (u's days − 1))",
        does_not_say="Anything of users with one active day in the 28 days: they have no such number.",
        direction="down",
        page="churn",
        figure="median",
        of="days_between",
        among="days > 1",
    ),
)
