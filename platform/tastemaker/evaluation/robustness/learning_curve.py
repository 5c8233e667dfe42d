"""Learning curve: a model's figure by the length of its training window, on the same test period.

A shorter window is as `split.train_days` makes it: the model learns only from the events in the window, while
requests carry every user's whole history.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, NamedTuple

from tastemaker.evaluation import results
from tastemaker.evaluation.metrics import METRICS
from tastemaker.stats.bootstrap import Difference, Interval
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from tastemaker.evaluation.backtest import Backtester, Report
    from tastemaker.evaluation.results import Backtest

SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Shares of the training window that are evaluated, besides the whole window."""


class Point(NamedTuple):
    """Figure of one length of the training window."""

    days: int
    figure: Interval
    from_whole: Difference | None
    """Paired difference from the whole window; None for the whole window itself."""
    backtest: str


@dataclass(frozen=True)
class LearningCurve:
    """Figures of a model by the days of its training window, the fewest first."""

    model: str
    metric: str
    k: int
    points: tuple[Point, ...]

    @property
    def enough(self) -> int:
        """The shortest window such that neither it nor a longer one is significantly worse than the whole."""
        shortest = self.points[-1].days
        for point in reversed(self.points[:-1]):
            if not self._gain(point)[1] >= 0:  # also where there is no interval
                break
            shortest = point.days
        return shortest

    @property
    def known(self) -> bool:
        """Whether every window has an interval of its difference from the whole."""
        return all(isfinite(self._gain(point)[1]) for point in self.points)

    @property
    def better(self) -> Point | None:
        """The window with the largest gain, of those that are significantly better than the whole."""
        ahead = [point for point in self.points if self._gain(point)[0] > 0]
        return max(ahead, key=lambda point: sum(self._gain(point)), default=None)

    def _gain(self, point: Point) -> tuple[float, float]:
        """Return the interval of how much better a window is than the whole, in the metric's unit."""
        found = point.from_whole
        if found is None:
            return 0.0, 0.0
        larger = METRICS[self.metric].larger_is_better
        return (found.low, found.high) if larger else (-found.high, -found.low)


def learning_curve(backtester: Backtester, report: Report | None = None) -> LearningCurve:
    """Return the learning curve, from backtests on the last parts of the training window.

    Backtests that are stored are not run again.

    Args:
        backtester: The model, its config and the data.
        report: Called after each backtest.
    """
    problem, artifacts, split = backtester.dataset.problem, backtester.artifacts, backtester.split
    metric = problem.metric
    whole = ceil((split.cut - split.start) / DAY_SECONDS)
    lengths = sorted({max(1, round(share * whole)) for share in SHARES} - {whole})
    measured: list[tuple[int, Backtest]] = []
    for days in [*lengths, whole]:
        measured.append((days, _trained_on(backtester, days if days < whole else None)))
        if report:
            report(f"trained on the last {days} days", measured[-1][1].metrics[metric].value)
    reference = measured[-1][1]
    points = tuple(
        Point(
            days,
            one.metrics[metric],
            None if one is reference else results.compare(artifacts, one, reference, metric),
            one.id,
        )
        for days, one in measured
    )
    return LearningCurve(backtester.plugin.name, metric, problem.placement.k, points)


def _trained_on(backtester: Backtester, days: int | None) -> Backtest:
    """Return the backtest with the last `days` days; None for the problem's window."""
    if days is None:
        return backtester.run(backtester.split)
    dataset = backtester.dataset.windowed(days)
    return backtester.run(dataset.split(), problem=dataset.problem)
