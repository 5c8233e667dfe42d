"""Two figures in words: the same within chance, more, less, or nothing that can be said."""

from __future__ import annotations

from typing import NamedTuple

from tastemaker.dashboard.content import Figure
from tastemaker.dashboard.formats import NO_FIGURE, interval, number
from tastemaker.digest.document import DigestText
from tastemaker.digest.figures import WeekEstimate
from tastemaker.product.definition import MIN_EVENTS, MIN_USERS, MetricDefinition
from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.interval_difference import interval_difference


class WeekComparison(NamedTuple):
    """A figure beside an earlier one."""

    definition: MetricDefinition
    now: WeekEstimate | None
    """None: there is no row of it."""
    earlier: WeekEstimate | None

    @property
    def difference(self) -> Interval | None:
        """The difference with its interval; None where either figure has no interval."""
        now = self.now.with_ends if self.now is not None else None
        earlier = self.earlier.with_ends if self.earlier is not None else None
        return None if now is None or earlier is None else interval_difference(now, earlier)

    @property
    def has_changed(self) -> bool:
        """Whether the figures differ beyond chance."""
        return self.difference is not None and not self.difference.low <= 0 <= self.difference.high

    @property
    def is_worse(self) -> bool:
        """Whether the figure changed for the worse."""
        if self.difference is None or not self.has_changed:
            return False
        sign = {"up": 1, "down": -1, "neither": 0}[self.definition.direction]
        return self.difference.value * sign < 0

    def words(self, same: str) -> str:
        """Return the change in words.

        Args:
            same: What is said where the interval of the difference includes 0, such as `as last week`.
        """
        found = self.difference
        if found is None:
            return "no interval, so nothing can be said"
        if not self.has_changed:
            return same
        verb = "up" if found.value > 0 else "down"
        scale, unit = (100, "points") if self.definition.unit == "share" else (1, self._unit)
        low, high = sorted(abs(end) * scale for end in (found.low, found.high))
        amount = number(abs(found.value) * scale, unit)
        return f"{verb} by {amount} ({number(low)} to {number(high)})"

    def cell(self, same: str) -> DigestText:
        """Return the earlier figure and the change; see `words`."""
        if self.earlier is None or self.earlier.value is None:
            return DigestText(NO_FIGURE, is_grey=True)
        shown = number(self.earlier.value, self.earlier.unit)
        if self.now is None or self.now.value is None:
            return DigestText(shown)
        return DigestText(f"{shown}: {self.words(same)}" if self.difference else shown)

    @property
    def _unit(self) -> str:
        return self.now.unit if self.now is not None else ""


def estimate_cell(definition: MetricDefinition, found: WeekEstimate | None) -> DigestText:
    """Return a figure with its interval, or what is missing for one.

    Args:
        definition: The metric's name and title.
        found: The figure; None if it was never computed.
    """
    if found is None:
        return DigestText("not computed", is_grey=True)
    if found.value is None:
        users = "" if found.n is None else f"{found.n:,} users, "
        return DigestText(f"too little data: {users}needs {MIN_USERS} and {MIN_EVENTS} events", is_grey=True)
    figure = Figure(
        definition.name, definition.title, found.value, found.unit, "", low=found.low, high=found.high
    )
    ends = interval(figure)
    open_ = "" if found.is_complete else "; it may still change"
    return DigestText(f"{number(found.value, found.unit)}{f' ({ends})' if ends else ''}{open_}")
