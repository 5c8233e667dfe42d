"""What every expression over metrics has: a text in PromQL, and the values that Prometheus would compute."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal

from tastemaker.alerting.series import Labels, Selector, SeriesByName

Values = dict[Labels, float]
"""Labels -> value."""


class Expression(ABC):
    """An expression over metrics."""

    @abstractmethod
    def text(self, offset: float) -> str:
        """Return the PromQL text that reads all metrics `offset` seconds earlier."""

    @abstractmethod
    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        """Return the values at a time.

        Args:
            series: The samples of each metric.
            now: The time, in seconds since 1970 UTC.
            offset: How many seconds earlier metrics are read.
        """

    @abstractmethod
    def selectors(self) -> Iterable[Selector]:
        """Return the selectors of the metrics that the expression reads."""

    def promql(self) -> str:
        """Return the expression as PromQL."""
        return self.text(0)

    def evaluate(self, series: SeriesByName, now: float) -> Values:
        """Return what Prometheus returns for the expression, without the metric's name.

        Args:
            series: What was scraped.
            now: Seconds since 1970 UTC.
        """
        return self.values(series, now, 0)

    def data(self, series: SeriesByName, now: float) -> frozenset[Labels]:
        """Return the labels for which there is data, whether or not the comparisons in it are true.

        Args:
            series: What was scraped.
            now: Seconds since 1970 UTC.
        """
        return frozenset(
            labels for labels, value in self.evaluate(series, now).items() if not math.isnan(value)
        )


def extreme(how: Literal["max", "min"], values: Iterable[float]) -> float:
    """Return the largest or smallest value that is a number; NaN if none is.

    Args:
        how: Whether the largest or the smallest value is wanted.
        values: Any number of values, with NaN among them.
    """
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return math.nan
    return max(numbers) if how == "max" else min(numbers)
