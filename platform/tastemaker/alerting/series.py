"""Time series, and which of them and of their samples an expression reads.

The semantics are those of Prometheus 2: a window includes the samples at both of its ends. (Prometheus 3
leaves out a sample that lies exactly at the earlier end.)
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

STALE_AFTER_SECONDS = 300.0
"""A series whose newest sample is older than this has no value, as in Prometheus by default."""

Labels = frozenset[tuple[str, str]]
"""Names and values of labels, without the metric's name."""


class Series(NamedTuple):
    """The samples of one metric with one set of labels."""

    labels: Labels
    times: Sequence[float]
    """Seconds since 1970 UTC, ascending."""
    values: Sequence[float | None]
    """One value per time. None says that the series ended there: its target was gone, or no longer had it."""


SeriesByName = Mapping[str, Sequence[Series]]
"""Name of a metric -> its series."""


@dataclass(frozen=True)
class Matcher:
    """A condition on one label; a series without the label has the empty text there."""

    label: str
    operator: Literal["=", "!=", "=~", "!~"]
    text: str
    """The value, or for =~ and !~ a regular expression of the whole value."""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.text, re.DOTALL)

    def matches(self, value: str) -> bool:
        """Return whether a label's value meets the condition."""
        match self.operator:
            case "=":
                return value == self.text
            case "!=":
                return value != self.text
            case "=~":
                return self._pattern.fullmatch(value) is not None
            case "!~":
                return self._pattern.fullmatch(value) is None

    def promql(self) -> str:
        """Return the condition as PromQL writes it."""
        return f"{self.label}{self.operator}{json.dumps(self.text, ensure_ascii=False)}"


@dataclass(frozen=True)
class Selector:
    """The series of one metric whose labels meet all matchers."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def promql(self) -> str:
        """Return the selector as PromQL writes it, without window or offset."""
        conditions = ",".join(matcher.promql() for matcher in self.matchers)
        return f"{self.name}{{{conditions}}}" if conditions else self.name

    def select(self, series: SeriesByName) -> Iterator[Series]:
        """Yield the series that are selected."""
        for one in series.get(self.name, ()):
            labels = dict(one.labels)
            if all(matcher.matches(labels.get(matcher.label, "")) for matcher in self.matchers):
                yield one

    def latest(self, series: SeriesByName, at: float) -> Iterator[tuple[Labels, float]]:
        """Yield labels and value of each series that is not stale at a time.

        Args:
            series: What was scraped.
            at: Seconds since 1970 UTC.
        """
        for one in self.select(series):
            last = bisect_right(one.times, at) - 1
            if last < 0 or one.times[last] < at - STALE_AFTER_SECONDS:
                continue
            value = one.values[last]
            if value is not None:
                yield one.labels, value

    def window(self, series: SeriesByName, start: float, end: float) -> Iterator[tuple[Labels, Samples]]:
        """Yield labels and samples of each series that has samples from `start` to `end`, both included.

        Args:
            series: What was scraped.
            start: Seconds since 1970 UTC.
            end: Seconds since 1970 UTC.
        """
        for one in self.select(series):
            first, stop = bisect_left(one.times, start), bisect_right(one.times, end)
            found = [
                (time, value)
                for time, value in zip(one.times[first:stop], one.values[first:stop], strict=True)
                if value is not None
            ]
            if found:
                yield one.labels, found


Samples = Sequence[tuple[float, float]]
"""Times in seconds and values, ascending in time."""


def metric(name: str, *matchers: Matcher, **equal: str) -> Selector:
    """Return a selector.

    Args:
        name: The metric's name.
        *matchers: Conditions on labels.
        **equal: Labels and the values that they must have.

    >>> metric("up", job="tastemaker").promql()
    'up{job="tastemaker"}'
    """
    return Selector(name, (*matchers, *(Matcher(label, "=", value) for label, value in equal.items())))


def one_of(label: str, values: Iterable[str]) -> Matcher:
    """Return the condition that a label has one of these values.

    Args:
        label: The label's name.
        values: The values as plain text, at least one.

    >>> one_of("status", ["429", "503"]).promql()
    'status=~"429|503"'
    """
    return Matcher(label, "=~", "|".join(map(re.escape, values)))


def counter_increase(samples: Samples, start: float, end: float, per: float = 1.0) -> float | None:
    """Return by how much a counter rose in a window, as Prometheus 2 extrapolates it.

    What was counted between the first and the last sample, resets included, is extrapolated to the ends of
    the window: as far back as the counter may have been above 0, and by half the average distance of two
    samples where the end of the window is further away than 1.1 times that distance. (Prometheus,
    promql/functions.go, extrapolatedRate, version 2.42, whose order of operations this follows.)

    Args:
        samples: The counter's samples in the window.
        start: Start of the window in seconds.
        end: End of the window in seconds.
        per: What to divide by: 1 for an increase, the window's seconds for a rate.

    Returns:
        The increase or rate, or None for fewer than two samples.
    """
    if len(samples) < 2:
        return None
    (first_time, first), (last_time, last) = samples[0], samples[-1]
    increase, before = last - first, 0.0
    for _, value in samples:
        if value < before:
            increase += before
        before = value
    to_start, to_end = first_time - start, end - last_time
    sampled = last_time - first_time
    average = sampled / (len(samples) - 1)
    if increase > 0 and first >= 0:
        to_start = min(to_start, sampled * (first / increase))
    near = average * 1.1
    covered = sampled
    covered += to_start if to_start < near else average / 2
    covered += to_end if to_end < near else average / 2
    return increase * (covered / sampled / per)
