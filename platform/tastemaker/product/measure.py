"""Computation of the product metrics: from the lake to days of users and items, from these to `measurements`.

    requests, feedback, events --> user_days, item_days, activity (Parquet by day) --> windows and cohorts

Only days whose inputs changed are computed again, and only the windows that contain such a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol

from sqlalchemy import Engine

from tastemaker.data.lake import Lake
from tastemaker.problem import ProblemSpec
from tastemaker.product.activity import ActivityDays
from tastemaker.product.cell import Cell
from tastemaker.product.day_files import ACTIVITY, ITEM_DAYS, USER_DAYS, digests, drop_days
from tastemaker.product.horizons import Horizons, read_horizons
from tastemaker.product.plan import MeasurementPlan, Span
from tastemaker.product.shop_days import ONE_DAY, ShopDays
from tastemaker.product.store import MeasurementStore, Part
from tastemaker.product.user_days import LogDays
from tastemaker.product.windows import Progress, WindowCells, quiet
from tastemaker.product_settings import ProductSettings
from tastemaker.util.file_lock import file_lock

LOCK = ".lock"
"""Name of the lock in the folder of product metrics."""


class KeptFrom(NamedTuple):
    """The first days that the retention periods keep."""

    log: date = date.min
    events: date = date.min


class MeasureResult(NamedTuple):
    """Result of `measure`."""

    log_until: date | None
    """The last day of the log that is over; None: none is."""
    activity_until: date | None
    """The last day of the events that is over."""
    days_computed: int
    """Days of the log and of events that were new or had changed."""
    rows: int
    """Rows of `measurements` that were written."""
    windows_removed: int
    """Windows whose rows were deleted, because the data no longer has them."""


class _Days(Protocol):
    def digests(self) -> dict[date, str]: ...

    def compute(self, root: Lake, wanted: Mapping[date, str]) -> Iterator[int]: ...


@dataclass(frozen=True)
class ProductMetrics:
    """The product metrics of one problem in one home folder."""

    lake: Lake
    root: Lake
    """The folder of the days that the metrics are computed from."""
    problem: ProblemSpec
    engine: Engine
    days: ShopDays
    settings: ProductSettings = field(default_factory=ProductSettings)
    kept_from: KeptFrom = field(default_factory=KeptFrom)

    def measure(
        self, *, force: bool = False, progress: Progress = quiet, now: datetime | None = None
    ) -> MeasureResult:
        """Compute what changed, and write it to `measurements`. Concurrent calls wait for each other.

        Args:
            force: Compute unchanged days and windows, too.
            progress: Called after each step.
            now: Rows of later times are not data yet; by default the current time.

        Returns:
            Until when the data are complete, and how many days, rows and windows were computed, written and
            removed.
        """
        with file_lock(self.root.root / LOCK):
            horizons = read_horizons(self.lake, self.problem, self.days, now or datetime.now(UTC))
            closed = float("-inf") if horizons.closed is None else horizons.closed.timestamp()
            most = self.settings.max_events_per_day
            log = LogDays(self.lake, self.problem, self.days, closed, most)
            activity = ActivityDays(self.lake, self.days, self.settings.active_events, most)
            computed = self._refresh("log", log, (USER_DAYS, ITEM_DAYS), force, progress)
            computed += self._refresh("activity", activity, (ACTIVITY,), force, progress)
            rows, removed = self._write_windows(horizons, log.event_types, force, progress)
        return MeasureResult(horizons.log_until, horizons.activity_until, computed, rows, removed)

    def _refresh(
        self, name: str, days: _Days, tables: tuple[str, ...], force: bool, progress: Progress
    ) -> int:
        """Compute the days of which some input changed, and delete those without input; return how many."""
        wanted, known = days.digests(), digests(self.root, tables[-1])
        drop_days(self.root, tables, known.keys() - wanted.keys())
        pending = {day: digest for day, digest in wanted.items() if force or known.get(day) != digest}
        for done in days.compute(self.root, pending):
            progress(f"{name} days", done, len(pending))
        return len(pending)

    def _write_windows(
        self, horizons: Horizons, event_types: list[str], force: bool, progress: Progress
    ) -> tuple[int, int]:
        store = MeasurementStore(self.engine, self.problem.name, self.days)
        current: dict[Part, dict[date, str]] = {
            "log": self._over(USER_DAYS, horizons.log_until),
            "activity": self._over(ACTIVITY, horizons.activity_until),
        }
        measured = {part: {} if force else store.measured(part) for part in current}
        log = _span(current["log"], measured["log"], self.kept_from.log)
        activity = _span(current["activity"], measured["activity"], self.kept_from.events)
        plan = MeasurementPlan(log, activity)
        cells: list[Cell] = []
        if (log is not None and log.changed) or (activity is not None and activity.changed):
            with WindowCells(self.lake, self.root, self.days, event_types) as windows:
                cells = list(windows.of(plan, log, activity, horizons.closed, progress))
        return store.replace(cells, list(plan.computed()), list(plan.valid()), plan.kept_from(), current)

    def _over(self, table: str, until: date | None) -> dict[date, str]:
        """Return the digests of the computed days that are over."""
        days = {} if until is None else digests(self.root, table)
        return {day: digest for day, digest in days.items() if until is not None and day <= until}


def _span(current: Mapping[date, str], measured: Mapping[date, str], kept: date) -> Span | None:
    """Return the span of days that are over, with those that differ from what was measured."""
    if not current:
        return None
    changed = {day for day, digest in current.items() if measured.get(day) != digest}
    changed |= measured.keys() - current.keys()
    # Whole days in UTC are kept: the shop's day that began before the first of them is not.
    kept_from = kept if kept == date.min else kept + ONE_DAY
    return Span(min(current), max(current), frozenset(changed), kept_from)
