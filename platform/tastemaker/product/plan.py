"""Which windows the data has, and which of them must be computed again because a day of theirs changed.

Where a retention period deletes old days, windows that begin before the first kept day can't be computed
any more: their measurements stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

from tastemaker.product.catalogue_metrics import CATALOGUE
from tastemaker.product.cell import TRAILING_DAYS, MetricWindow
from tastemaker.product.engagement_metrics import ENGAGEMENT
from tastemaker.product.growth_metrics import GROWTH, GrowthMetric
from tastemaker.product.retention_cells import COHORT_DAYS, FOLLOWED_DAYS
from tastemaker.product.retention_metrics import RETENTION, UNKNOWN_DAYS
from tastemaker.product.shop_days import ONE_DAY, days_between

_OF_LISTS = tuple(one.name for one in (*ENGAGEMENT, *CATALOGUE))
_OF_COHORTS = tuple(one.name for one in RETENTION)


class WindowOfMetric(NamedTuple):
    """A window of a metric."""

    metric: str
    window: MetricWindow


class Span(NamedTuple):
    """The days that are known of the log, or of activity."""

    first: date
    """The first day with data."""
    until: date
    """The last day that is over; before `first` if none is."""
    changed: frozenset[date] = frozenset()
    """Days whose data differ from what the stored measurements were computed from."""
    kept_from: date = date.min
    """The first day that the retention period keeps."""


class MeasurementPlan:
    """The windows of a shop. A part without data has no window."""

    def __init__(self, log: Span | None, activity: Span | None) -> None:
        """Plan the windows for the days that are known and those that changed.

        Args:
            log: The days of requests; None: there are none.
            activity: The days of events; None: there are none.
        """
        self._log, self._activity = log, activity

    def trailing(self, days: int) -> list[date]:
        """Return the last days of the windows of lists, of one length, that must be computed, in order."""
        log = self._log
        if log is None:
            return []
        near = {day + timedelta(days=later) for day in log.changed for later in range(days)}
        return [window.last for window in self._trailing(days) if window.last in near]

    def _trailing(self, days: int) -> Iterator[MetricWindow]:
        if self._log is not None:
            for last in days_between(self._log.first, self._log.until):
                if (window := MetricWindow.ending(last, days)).first >= self._log.kept_from:
                    yield window

    def growth(self) -> list[date]:
        """Return the last days of the windows of active users that must be computed, in order."""
        activity = self._activity
        if activity is None or not activity.changed:
            return []
        return list(days_between(max(activity.first, min(activity.changed)), activity.until))

    def _growth(self, metric: GrowthMetric) -> Iterator[MetricWindow]:
        if self._activity is not None:
            first = growth_start(self._activity) + timedelta(days=metric.needs_days - 1)
            for last in days_between(first, self._activity.until):
                yield MetricWindow.ending(last, metric.days)

    def cohorts(self) -> tuple[date, date] | None:
        """Return the first and the last Monday of the cohorts that must be computed, if any."""
        changed = [day for span in (self._log, self._activity) if span is not None for day in span.changed]
        if not changed:
            return None
        followed_until = min(changed)
        mondays = [
            window.first
            for window in self._cohorts()
            if window.last + timedelta(days=FOLLOWED_DAYS) >= followed_until
        ]
        return (mondays[0], mondays[-1]) if mondays else None

    def _cohorts(self) -> list[MetricWindow]:
        spans = [(self.first_version_cohort, self._log), (self.first_shop_cohort, self._activity)]
        known = [(first, span.until) for first, span in spans if span is not None and first <= span.until]
        if not known:
            return []
        first, until = max(self._kept_cohorts, min(one for one, _ in known)), max(end for _, end in known)
        return [
            MetricWindow.ending(day + timedelta(days=COHORT_DAYS - 1), COHORT_DAYS)
            for day in days_between(first, until)
            if day.weekday() == 0
        ]

    @property
    def first_shop_cohort(self) -> date:
        """The Monday of the first cohort whose users are known to be new."""
        if self._activity is None:
            return date.max
        return _monday(growth_start(self._activity) + timedelta(days=UNKNOWN_DAYS))

    @property
    def first_version_cohort(self) -> date:
        """The Monday of the first cohort of users of a version."""
        return (
            date.max if self._log is None else max(self._kept_cohorts, _monday(self._log.first, before=True))
        )

    @property
    def _kept_cohorts(self) -> date:
        """The Monday from which on all starts are known, where old days were deleted."""
        kept = max(span.kept_from for span in (self._log, self._activity, _NONE) if span is not None)
        return kept if kept == date.min else _monday(kept + timedelta(days=UNKNOWN_DAYS))

    def computed(self) -> Iterator[WindowOfMetric]:
        """Yield the windows whose rows are replaced."""
        for days in TRAILING_DAYS:
            yield from _each(_OF_LISTS, (MetricWindow.ending(last, days) for last in self.trailing(days)))
        ends = set(self.growth())
        for metric in GROWTH:
            yield from _each([metric.name], (one for one in self._growth(metric) if one.last in ends))
        if (span := self.cohorts()) is not None:
            windows = (one for one in self._cohorts() if span[0] <= one.first <= span[1])
            yield from _each(_OF_COHORTS, windows)

    def valid(self) -> Iterator[WindowOfMetric]:
        """Yield all windows that the data has."""
        for days in TRAILING_DAYS:
            yield from _each(_OF_LISTS, self._trailing(days))
        for metric in GROWTH:
            yield from _each([metric.name], self._growth(metric))
        yield from _each(_OF_COHORTS, self._cohorts())

    def kept_from(self) -> dict[str, date]:
        """Return, by metric, the first day of windows that can be computed, where old days were deleted."""
        found: dict[str, date] = {}
        if self._log is not None and self._log.kept_from > date.min:
            found |= dict.fromkeys(_OF_LISTS, self._log.kept_from)
        if self._activity is not None and self._activity.kept_from > date.min:
            start = growth_start(self._activity)
            found |= {one.name: start + timedelta(days=one.needs_days - one.days) for one in GROWTH}
        if self._kept_cohorts > date.min:
            found |= dict.fromkeys(_OF_COHORTS, self._kept_cohorts)
        return found


_NONE = Span(date.max, date.min)


def growth_start(activity: Span) -> date:
    """Return the first day whose activity is known."""
    return max(activity.first, activity.kept_from)


def consecutive(days: Iterable[date], most: int) -> Iterator[tuple[date, date]]:
    """Yield the first and the last day of runs of days without a gap.

    Args:
        days: Days in ascending order, each once.
        most: The most days of a run, 1 or more; a longer one is divided.
    """
    run: list[date] = []
    for day in days:
        if run and (day - run[-1] != ONE_DAY or len(run) == most):
            yield run[0], run[-1]
            run = []
        run.append(day)
    if run:
        yield run[0], run[-1]


def _each(metrics: Iterable[str], windows: Iterable[MetricWindow]) -> Iterator[WindowOfMetric]:
    names = list(metrics)
    for window in windows:
        for name in names:
            yield WindowOfMetric(name, window)


def _monday(day: date, *, before: bool = False) -> date:
    """Return the first Monday from a day on, or the last one until it."""
    return day - timedelta(days=day.weekday()) if before else day + timedelta(days=-day.weekday() % 7)
