"""Samples at a fixed interval, for the evaluator and for promtool's tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from tastemaker.alerting.promql_text import number
from tastemaker.alerting.series import Labels, Series, SeriesByName

GAP = "_"
"""In the place of a value: no sample was taken."""
STALE = "stale"
"""In the place of a value: the series ended."""
SampledValue = float | str
"""A value, GAP or STALE."""
Sampled = Mapping[tuple[str, Labels], Sequence[SampledValue]]
"""Metric and labels -> values at 0, 1, 2 ... intervals."""


def as_series(sampled: Sampled, interval: float) -> SeriesByName:
    """Return the series for the evaluator.

    Args:
        sampled: Values at 0, 1, 2 ... intervals.
        interval: Seconds between two values.
    """
    found: dict[str, list[Series]] = {}
    for (metric, labels), values in sampled.items():
        present = [
            (place * interval, None if value == STALE else float(value))
            for place, value in enumerate(values)
            if value != GAP
        ]
        series = Series(labels, [time for time, _ in present], [value for _, value in present])
        found.setdefault(metric, []).append(series)
    return found


def input_series(sampled: Sampled) -> list[dict[str, str]]:
    """Return the series as promtool's tests write them, in `input_series`."""
    return [
        {"series": metric + braced(labels), "values": " ".join(_runs(values))}
        for (metric, labels), values in sampled.items()
    ]


def braced(labels: Iterable[tuple[str, str]]) -> str:
    """Return labels as PromQL writes them.

    >>> braced({("model", "ease"), ("job", "shop")})
    '{job="shop",model="ease"}'
    """
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels)) + "}"


def _runs(values: Sequence[SampledValue]) -> Iterator[str]:
    """Yield runs of equal steps as promtool abbreviates them: 1+2x3 is 1 3 5 7, and _x2 are two gaps."""
    start = 0
    while start < len(values):
        first = values[start]
        if isinstance(first, str):
            stop = next((i for i in range(start, len(values)) if values[i] != first), len(values))
            yield first if stop == start + 1 or first == STALE else f"{first}x{stop - start}"
            start = start + 1 if first == STALE else stop
            continue
        length = _progression(values[start:])
        step = 0.0 if length == 1 else float(values[start + 1]) - first
        sign = "-" if step < 0 else "+"
        yield number(first) if length == 1 else f"{number(first)}{sign}{number(abs(step))}x{length - 1}"
        start += length


def _progression(values: Sequence[SampledValue]) -> int:
    """Return how many of the first values rise by the same step."""
    length, step = 1, None
    for before, value in pairwise(values):
        if isinstance(before, str) or isinstance(value, str):
            break
        if step is not None and value - before != step:
            break
        step, length = value - before, length + 1
    return length
