"""Expressions over metrics: each has a text in PromQL and a value computed here, and both agree.

Values carry labels, and a comparison keeps the values for which it is true, as in PromQL. A metric's name is
not kept. `data` adds what PromQL lacks: the labels for which an expression can be evaluated at all, so that
"no data" is neither true nor false.
"""

from __future__ import annotations

import math
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from tastemaker.alerting.expression import Expression, Values, extreme
from tastemaker.alerting.promql_text import duration, number, offset_of
from tastemaker.alerting.series import Labels, Selector, SeriesByName, counter_increase, metric
from tastemaker.errors import TastemakerError

Comparison = Literal[">", ">=", "<", "<=", "==", "!="]
Aggregation = Literal["sum", "max", "min", "count"]

COMPARISONS: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Constant(Expression):
    """A number without labels."""

    number: float

    def text(self, offset: float) -> str:
        return f"vector({number(self.number)})"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        return {frozenset(): self.number}

    def selectors(self) -> Iterable[Selector]:
        return ()


@dataclass(frozen=True)
class Gauge(Expression):
    """The newest values of a metric, each series by itself."""

    selector: Selector

    def text(self, offset: float) -> str:
        return self.selector.promql() + offset_of(offset)

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        return dict(self.selector.latest(series, now - offset))

    def selectors(self) -> Iterable[Selector]:
        return (self.selector,)


@dataclass(frozen=True)
class Increase(Expression):
    """Increase of counters over a window."""

    selector: Selector
    seconds: float

    _function: ClassVar[str] = "increase"

    def text(self, offset: float) -> str:
        window = f"{self.selector.promql()}[{duration(self.seconds)}]{offset_of(offset)}"
        return f"{self._function}({window})"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        end = now - offset
        start = end - self.seconds
        found = (
            (labels, counter_increase(samples, start, end, self._per()))
            for labels, samples in self.selector.window(series, start, end)
        )
        return {labels: increase for labels, increase in found if increase is not None}

    def selectors(self) -> Iterable[Selector]:
        return (self.selector,)

    def _per(self) -> float:
        return 1.0


@dataclass(frozen=True)
class Rate(Increase):
    """Increase per second of counters, over a window."""

    _function: ClassVar[str] = "rate"

    def _per(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Aggregate(Expression):
    """The values of an expression, put together by some of their labels."""

    how: Aggregation
    by: tuple[str, ...]
    of: Expression

    def text(self, offset: float) -> str:
        return f"{self.how} by ({', '.join(self.by)}) ({self.of.text(offset)})"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        groups: dict[Labels, list[float]] = {}
        for labels, value in self.of.values(series, now, offset).items():
            kept = frozenset((name, text) for name, text in labels if name in self.by)
            groups.setdefault(kept, []).append(value)
        return {labels: _aggregated(self.how, found) for labels, found in groups.items()}

    def selectors(self) -> Iterable[Selector]:
        return self.of.selectors()


@dataclass(frozen=True)
class _Arithmetic(Expression):
    """Two numbers made one, where both expressions have a value with the same labels."""

    left: Expression
    right: Expression

    _sign: ClassVar[str]

    @staticmethod
    @abstractmethod
    def _combined(left: float, right: float) -> float: ...

    def text(self, offset: float) -> str:
        return f"{_operand(self.left, offset)} {self._sign} {_operand(self.right, offset)}"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        right = self.right.values(series, now, offset)
        return {
            labels: self._combined(value, right[labels])
            for labels, value in self.left.values(series, now, offset).items()
            if labels in right
        }

    def selectors(self) -> Iterable[Selector]:
        return (*self.left.selectors(), *self.right.selectors())


class Ratio(_Arithmetic):
    """One expression divided by another, where both have a value with the same labels.

    0 / 0 is not a number: no comparison is true for it, and it is not data.
    """

    _sign: ClassVar[str] = "/"

    @staticmethod
    def _combined(left: float, right: float) -> float:
        if right:
            return left / right
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1, right)


class Minus(_Arithmetic):
    """One expression minus another, where both have a value with the same labels."""

    _sign: ClassVar[str] = "-"

    @staticmethod
    def _combined(left: float, right: float) -> float:
        return left - right


@dataclass(frozen=True)
class Age(Expression):
    """Seconds since the time that a gauge holds."""

    of: Expression

    def text(self, offset: float) -> str:
        return f"time() - {_operand(self.of, offset)}"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        return {labels: now - value for labels, value in self.of.values(series, now, offset).items()}

    def selectors(self) -> Iterable[Selector]:
        return self.of.selectors()


@dataclass(frozen=True)
class Over(Expression):
    """The share of a histogram's observations that lie above the upper bound of one of its buckets.

    A share is exact and adds up over processes; a quantile of buckets is neither.
    """

    histogram: Selector
    """By the histogram's name, without `_bucket` or `_count`."""
    bound: float
    seconds: float
    by: tuple[str, ...]

    def text(self, offset: float) -> str:
        return f"1 - {self._below().text(offset)}"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        return {labels: 1 - value for labels, value in self._below().values(series, now, offset).items()}

    def selectors(self) -> Iterable[Selector]:
        return self._below().selectors()

    def _below(self) -> Ratio:
        name, matchers = self.histogram.name, self.histogram.matchers
        below = metric(f"{name}_bucket", *matchers, le=str(float(self.bound)))
        both = (below, metric(f"{name}_count", *matchers))
        part, whole = (Aggregate("sum", self.by, Rate(one, self.seconds)) for one in both)
        return Ratio(part, whole)


@dataclass(frozen=True)
class Offset(Expression):
    """The value that an expression had some time ago."""

    of: Expression
    seconds: float

    def text(self, offset: float) -> str:
        return self.of.text(offset + self.seconds)

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        return self.of.values(series, now, offset + self.seconds)

    def selectors(self) -> Iterable[Selector]:
        return self.of.selectors()


@dataclass(frozen=True)
class Absent(Expression):
    """1, with the labels that the selector names, if it finds no series that is not stale; else nothing."""

    selector: Selector

    def text(self, offset: float) -> str:
        return f"absent({self.selector.promql()}{offset_of(offset)})"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        if any(True for _ in self.selector.latest(series, now - offset)):
            return {}
        return {self._labels(): 1.0}

    def data(self, series: SeriesByName, now: float) -> frozenset[Labels]:
        """Return the one set of labels: whether a metric is absent is always known."""
        return frozenset([self._labels()])

    def selectors(self) -> Iterable[Selector]:
        return (self.selector,)

    def _labels(self) -> Labels:
        return frozenset((one.label, one.text) for one in self.selector.matchers if one.operator == "=")


@dataclass(frozen=True)
class Compare(Expression):
    """The values on the left for which a comparison with the right side is true."""

    left: Expression
    comparison: Comparison
    right: float | Expression

    def __post_init__(self) -> None:
        if isinstance(self.right, float | int) and math.isnan(self.right):
            raise TastemakerError(
                f"{self.left.promql()} {self.comparison} NaN is never true", fix="compare with a number"
            )

    def text(self, offset: float) -> str:
        right = _operand(self.right, offset) if isinstance(self.right, Expression) else number(self.right)
        return f"{_operand(self.left, offset)} {self.comparison} {right}"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        true = COMPARISONS[self.comparison]
        left = self.left.values(series, now, offset)
        if not isinstance(self.right, Expression):
            limit = self.right
            return {labels: value for labels, value in left.items() if true(value, limit)}
        right = self.right.values(series, now, offset)
        return {
            labels: value for labels, value in left.items() if labels in right and true(value, right[labels])
        }

    def data(self, series: SeriesByName, now: float) -> frozenset[Labels]:
        """Return the labels for which both sides have data."""
        known = self.left.data(series, now)
        return known & self.right.data(series, now) if isinstance(self.right, Expression) else known

    def selectors(self) -> Iterable[Selector]:
        right = self.right.selectors() if isinstance(self.right, Expression) else ()
        return (*self.left.selectors(), *right)


@dataclass(frozen=True)
class _Pair(Expression):
    """Two expressions, which both are read."""

    left: Expression
    right: Expression

    def selectors(self) -> Iterable[Selector]:
        return (*self.left.selectors(), *self.right.selectors())


@dataclass(frozen=True)
class And(_Pair):
    """The values on the left whose labels the right side has, too."""

    def text(self, offset: float) -> str:
        return f"{_operand(self.left, offset)} and {_operand(self.right, offset)}"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        right = self.right.values(series, now, offset)
        left = self.left.values(series, now, offset)
        return {labels: value for labels, value in left.items() if labels in right}

    def data(self, series: SeriesByName, now: float) -> frozenset[Labels]:
        """Return the labels for which both sides have data."""
        return self.left.data(series, now) & self.right.data(series, now)


@dataclass(frozen=True)
class Or(_Pair):
    """The values on the left, and those on the right whose labels the left side does not have."""

    def text(self, offset: float) -> str:
        return f"{_operand(self.left, offset)} or {_operand(self.right, offset)}"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        left = self.left.values(series, now, offset)
        return self.right.values(series, now, offset) | left

    def data(self, series: SeriesByName, now: float) -> frozenset[Labels]:
        """Return the labels for which one of the sides has data."""
        return self.left.data(series, now) | self.right.data(series, now)


def all_of(first: Expression, *more: Expression) -> Expression:
    """Return the conjunction of expressions.

    Args:
        first: The expression whose values it has.
        more: Expressions that must have a value for the same labels, else the value of `first` is left out.
    """
    for one in more:
        first = And(first, one)
    return first


def _operand(expression: Expression, offset: float) -> str:
    text = expression.text(offset)
    while isinstance(expression, Offset):
        expression = expression.of
    return f"({text})" if isinstance(expression, Age | And | Compare | Or | Over | _Arithmetic) else text


def _aggregated(how: Aggregation, values: list[float]) -> float:
    if how == "count":
        return len(values)
    if how == "sum":
        return sum(values)
    return extreme(how, values)
