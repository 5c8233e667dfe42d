"""The figures of a week, and those that they are compared with: windows of `measurements`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, and_, or_, select

from tastemaker.stats.bootstrap import Interval
from tastemaker.storage.tables import measurements

M = measurements.c


class WeekEstimate(NamedTuple):
    """A figure over a window."""

    value: float | None
    """None: too little data."""
    low: float | None
    high: float | None
    n: int | None
    """Users behind it; None: unknown."""
    is_complete: bool
    unit: str

    @property
    def with_ends(self) -> Interval | None:
        """The figure with its interval; None without one."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return Interval(self.value, self.low, self.high)


class FigureKey(NamedTuple):
    """What a figure is of, within one problem and all versions."""

    source: str
    model: str
    """Empty: all models."""
    metric: str
    window: str
    """Name of the window."""


Windows = Mapping[str, tuple[datetime, datetime]]
"""Name -> start and end."""


def read_figures(
    engine: Engine, problem: str, metrics: Sequence[str], windows: Windows
) -> dict[FigureKey, WeekEstimate]:
    """Return the figures of all models and of the whole shop.

    Args:
        engine: The metadata database.
        problem: The problem's name.
        metrics: Names of metrics.
        windows: The windows, which must be met exactly.
    """
    of_windows = or_(*(and_(M.window_start == start, M.window_end == end) for start, end in windows.values()))
    whole = and_(M.version == "", M.experiment == "", M.variant == "", M.slice == "")
    wanted = select(measurements).where(M.problem == problem, M.metric.in_(metrics), whole, of_windows)
    with engine.connect() as connection:
        rows = connection.execute(wanted).all()
    return {
        FigureKey(row.source, row.model, row.metric, name): WeekEstimate(
            row.value, row.low, row.high, row.n, row.is_complete, row.unit
        )
        for row in rows
        for name, window in windows.items()
        if window == (row.window_start, row.window_end)
    }


def measured_until(engine: Engine, problem: str, end: datetime) -> bool:
    """Return whether a figure of a window with this end is stored.

    Args:
        engine: The metadata database.
        problem: The problem's name.
        end: End of the window.
    """
    wanted = select(M.metric).where(M.problem == problem, M.window_end == end).limit(1)
    with engine.connect() as connection:
        return connection.execute(wanted).first() is not None
