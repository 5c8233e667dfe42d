"""Definition of a product metric: what the dashboard shows about it, and the SQL that computes it.

What belongs to one area only, such as how its SQL is put together, is in `engagement_metrics`,
`retention_metrics`, `growth_metrics` and `catalogue_metrics`. No computation belongs here: pages and
report-in import the definitions without DuckDB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from tastemaker.errors import TastemakerError

Unit = Literal["share", "requests", "items", "users", "lists", "events", "hours", "days", "ms", "reward"]
"""Unit of a value; `share` is 0 to 1, `reward` the problem's unit."""
Direction = Literal["up", "down", "neither"]
"""Which way is better for the shop."""
PageName = Literal["engagement", "catalogue", "retention", "churn", "models"]
"""Page of the dashboard that shows the metric."""

MIN_USERS = 30
"""With fewer users there is no value."""
MIN_EVENTS = 10
"""With fewer events behind it, such as clicks for a click-through rate, there is no value."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class MetricDefinition:
    """A metric of the platform. Raises TastemakerError for a definition that is not complete."""

    name: str
    """As in the column `metric` of `measurements`."""
    title: str
    """As a chart's title."""
    unit: Unit
    words: str
    """One plain sentence."""
    formula: str
    """The same as mathematics, in Unicode."""
    does_not_say: str
    """What a reader might wrongly conclude from it."""
    direction: Direction
    page: PageName
    slice: str = ""
    """What its slices are named after, such as `position` in position=1; empty: it has no slices."""

    def __post_init__(self) -> None:
        """Check every text."""
        if not _NAME.fullmatch(self.name) or self.name.startswith("x_"):
            raise TastemakerError(
                f"the name of a metric is {self.name!r}, must be lower case words joined by _, without x_",
                fix="rename it; x_ begins the names of foreign metrics",
            )
        for field in ("title", "words", "formula", "does_not_say", "sql"):
            text = str(getattr(self, field))
            if not text.strip() or (field in ("words", "does_not_say") and not text.endswith(".")):
                raise TastemakerError(
                    f"{self.name}.{field} is {text!r}, must be "
                    + ("a sentence" if field in ("words", "does_not_say") else "a text"),
                    fix="write it",
                )
        for field, allowed in (("unit", Unit), ("direction", Direction), ("page", PageName)):
            if (value := getattr(self, field)) not in get_args(allowed):
                raise TastemakerError(
                    f"{self.name}.{field} is {value!r}, must be one of {', '.join(get_args(allowed))}",
                    fix="choose one of these",
                )

    @property
    def sql(self) -> str:
        """The query that computes it for one window; `$name` is a bound parameter."""
        raise NotImplementedError
