"""Expressions that read the values of a gauge over a window."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tastemaker.alerting.expression import Expression, Values, extreme
from tastemaker.alerting.promql_text import duration, number, offset_of
from tastemaker.alerting.series import Samples, Selector, SeriesByName

Summary = Literal["avg", "max", "min"]


@dataclass(frozen=True)
class OverTime(Expression):
    """The mean, largest or smallest value of a gauge in a window."""

    how: Summary
    selector: Selector
    seconds: float

    def text(self, offset: float) -> str:
        return f"{self.how}_over_time({_window(self.selector, self.seconds, offset)})"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        end = now - offset
        return {
            labels: _summary(self.how, [value for _, value in samples])
            for labels, samples in self.selector.window(series, end - self.seconds, end)
        }

    def selectors(self) -> Iterable[Selector]:
        return (self.selector,)


@dataclass(frozen=True)
class PredictLinear(Expression):
    """The value that a gauge will have in some time, if its trend in the last window continues.

    The line of least squares through the window's samples. (Prometheus, promql/functions.go,
    funcPredictLinear, version 2.42.)
    """

    selector: Selector
    seconds: float
    """Length of the window."""
    ahead_seconds: float
    """How far the line is continued, from now."""

    def text(self, offset: float) -> str:
        window = _window(self.selector, self.seconds, offset)
        return f"predict_linear({window}, {number(self.ahead_seconds)})"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        end = now - offset
        return {
            labels: _on_line(samples, now, self.ahead_seconds)
            for labels, samples in self.selector.window(series, end - self.seconds, end)
            if len(samples) >= 2
        }

    def selectors(self) -> Iterable[Selector]:
        return (self.selector,)


def _window(selector: Selector, seconds: float, offset: float) -> str:
    return f"{selector.promql()}[{duration(seconds)}]{offset_of(offset)}"


def _summary(how: Summary, values: list[float]) -> float:
    if how == "avg":
        return _mean(values)
    return extreme(how, values)


def _mean(values: list[float]) -> float:
    """Return the mean, rounded as by Prometheus' funcAvgOverTime."""
    if any(map(math.isinf, values)):
        return sum(values)
    mean = lost = 0.0
    for count, value in enumerate(values, start=1):
        mean, lost = _added(value / count - mean / count, mean, lost)
    return mean + lost


def _on_line(samples: Samples, now: float, ahead: float) -> float:
    """Return the value of the line through the samples, `ahead` seconds after `now`."""
    first = samples[0][1]
    if all(value == first for _, value in samples):
        return math.nan if math.isinf(first) else first
    n = len(samples)
    times, values = [time - now for time, _ in samples], [value for _, value in samples]
    pairs = list(zip(times, values, strict=True))
    sum_x, sum_y = _sum(times), _sum(values)
    covariance = _sum(x * y for x, y in pairs) - sum_x * sum_y / n
    variance = _sum(x * x for x in times) - sum_x * sum_x / n
    slope = covariance / variance
    return slope * ahead + (sum_y / n - slope * sum_x / n)


def _sum(values: Iterable[float]) -> float:
    total = lost = 0.0
    for value in values:
        total, lost = _added(value, total, lost)
    return total + lost


def _added(value: float, total: float, lost: float) -> tuple[float, float]:
    """Return the total with a value added, and what rounding has lost of it (Kahan, Neumaier)."""
    after = total + value
    larger, smaller = (total, value) if abs(total) >= abs(value) else (value, total)
    return after, lost + ((larger - after) + smaller)
