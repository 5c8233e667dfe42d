"""Definitions of retention: which share of a cohort came back, and when.

The queries read `activity`, one row per user and day on which the user did something (being shown a list
does not count), and `starts`, one row per user with the day on which the user's clock starts: the first day
of activity, or of a list of one version or variant. `$known_until` is the last complete day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tastemaker.product.definition import MetricDefinition

WEEKS = 13
"""`retention_week` has the slices week=0 to week=12. In its SQL, {week} stands for the number."""
UNKNOWN_DAYS = 28
"""A shop's cohorts start so many days after its data: users of the first days may have come before."""

_NOT_CAUSAL = "Why users came back: users of two versions differ, unless an experiment assigned them."


@dataclass(frozen=True, kw_only=True)
class RetentionMetric(MetricDefinition):
    """The share of a cohort's users who were active on a day of a span after their start."""

    first: str
    """SQL: the span's first day, counted from the start, which is day 0."""
    last: str
    """SQL: its last day."""

    def of_slice(self, value: str) -> RetentionMetric:
        """Return the metric of one slice, such as that of week 1."""
        filled = {name: getattr(self, name).replace(f"{{{self.slice}}}", value) for name in ("first", "last")}
        return replace(self, **filled)

    @property
    def came_back(self) -> str:
        """SQL: whether a user came back, over the user's rows of activity."""
        return f"coalesce(bool_or(day - first_day BETWEEN {self.first} AND {self.last}), false)"

    @property
    def sql(self) -> str:
        """The share of the users whose span is over."""
        return f"""SELECT avg(came_back::INTEGER) AS value
FROM (SELECT {self.came_back} AS came_back
      FROM starts LEFT JOIN activity USING (user_id)
      WHERE first_day BETWEEN $first AND $last AND first_day + {self.last} <= $known_until
      GROUP BY user_id)"""  # noqa: S608 - our own


def _on_day(n: int) -> RetentionMetric:
    return RetentionMetric(
        name=f"retention_day_{n}",
        title=f"Retention on day {n}",
        unit="share",
        words=f"The share of a week's new users who were active exactly {n} calendar days after their first "
        "day.",
        formula=f"|{{u : active on first + {n}}}| ∕ |cohort|",
        does_not_say=f"Whether users came back on another day than day {n}.",
        direction="up",
        page="retention",
        first=str(n),
        last=str(n),
    )


def _within(first: int, last: int) -> RetentionMetric:
    return RetentionMetric(
        name=f"retention_days_{first}_{last}",
        title=f"Retention on days {first} to {last}",
        unit="share",
        words=f"The share of a week's new users who were active on any of the days {first} to {last} after "
        "their first day.",
        formula=f"|{{u : active on a day of first + {first} … first + {last}}}| ∕ |cohort|",
        does_not_say=_NOT_CAUSAL,
        direction="up",
        page="retention",
        first=str(first),
        last=str(last),
    )


RETENTION = (
    *map(_on_day, (1, 7, 28)),
    *(_within(*span) for span in ((1, 7), (8, 14), (15, 28))),
    RetentionMetric(
        name="retention_unbounded_28",
        title="Still active after day 28",
        unit="share",
        words="The share of a week's new users who were active on any of the days 28 to 55 after their first "
        "day.",
        formula="|{u : active on a day of first + 28 … first + 55}| ∕ |cohort|",
        does_not_say="Whether users come back after day 55: the span ends, so that young cohorts are not "
        "worse for their age.",
        direction="up",
        page="retention",
        first="28",
        last="55",
    ),
    RetentionMetric(
        name="retention_week",
        title="Retention by week",
        unit="share",
        words="The share of a week's new users who were active on any day of the n-th week after their first "
        "day.",
        formula="|{u : active on a day of first + 7n … first + 7n + 6}| ∕ |cohort|",
        does_not_say=_NOT_CAUSAL,
        direction="up",
        page="retention",
        slice="week",
        first="7 * {week}",
        last="(7 * {week} + 6)",
    ),
)
