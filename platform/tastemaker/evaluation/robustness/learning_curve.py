"""How much history does a model need? Trained on the last part of the window, judged on the same period.

A shorter window is what `split.train_days` would make of it: the model learns from its events only, while the
requests carry everyone's whole history.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, NamedTuple

from tastemaker.dataset.as_of import DAY_SECONDS
from tastemaker.evaluation import results
from tastemaker.evaluation.metrics import METRICS
from tastemaker.stats.bootstrap import Difference, Interval

if TYPE_CHECKING:
    from tastemaker.evaluation.backtest import Backtester, Report
    from tastemaker.evaluation.results import Backtest

SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Of the training window, beside the whole of it."""


class Point(NamedTuple):
    """One length of the training window."""

    days: int
    figure: Interval
    from_whole: Difference | None
    """What it has more than the whole window, per user; None for the whole window itself."""
    backtest: str


@dataclass(frozen=True)
class LearningCurve:
    """A model's figure by the days that it learned from, the fewest first."""

    model: str
    metric: str
    k: int
    points: tuple[Point, ...]

    @property
    def enough(self) -> int:
        """The shortest window of those from which on no one is worse than the whole beyond chance."""
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
        """The window with the most to gain, of those that are better than the whole beyond chance."""
        ahead = [point for point in self.points if self._gain(point)[0] > 0]
        return max(ahead, key=lambda point: sum(self._gain(point)), default=None)

    def _gain(self, point: Point) -> tuple[float, float]:
        """From where to where a window is better than the whole."""
        found = point.from_whole
        if found is None:
            return 0.0, 0.0
        larger = METRICS[self.metric].larger_is_better
        return (found.low, found.high) if larger else (-found.high, -found.low)


def learning_curve(backtester: Backtester, report: Report | None = None) -> LearningCurve:
    """Run backtests on the last parts of the training window; those that are stored are not run again."""
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
    """None: the window that the problem says, whose backtest the leaderboard shows."""
    if days is None:
        return backtester.run(backtester.split)
    dataset = backtester.dataset.windowed(days)
    return backtester.run(dataset.split(), problem=dataset.problem)
