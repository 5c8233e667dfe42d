"""Whether a figure differs from that of last week: by intervals of both, and in words."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.dashboard.comparison import difference, in_words, week_before
from tastemaker.stats.confidence import Ends

MONDAY = datetime(2026, 3, 23, 23, tzinfo=UTC)
"""Midnight in Berlin. Its clocks are set forward on the 29th: a week later, midnight is at 22:00 UTC."""


def row(value: float | None, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    fields = {"metric": "ctr_list", "unit": "share", "window_start": MONDAY}
    return SimpleNamespace(value=value, low=low, high=high, **(fields | more))


@given(
    values=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    widths=st.tuples(*[st.floats(0, 2)] * 2),
)
def test_symmetric_intervals_add_as_independent_errors_do(
    values: tuple[float, float], widths: tuple[float, float]
) -> None:
    new, old = (row(x, x - w, x + w) for x, w in zip(values, widths, strict=True))
    d, width = values[0] - values[1], math.hypot(*widths)
    assert difference(new, old) == pytest.approx((d - width, d + width), abs=1e-9)
    low, high = difference(old, new)
    assert Ends(-high, -low) == pytest.approx(difference(new, old), abs=1e-9)


def test_the_interval_covers_the_difference_of_two_independent_shares() -> None:
    rng = np.random.default_rng(0)
    n, truth = 400, (0.12, 0.09)
    covered = 0
    for _ in range(2_000):
        rows = []
        for share in truth:
            x = rng.binomial(n, share) / n
            error = 1.96 * math.sqrt(x * (1 - x) / n)
            rows.append(row(x, x - error, x + error))
        low, high = difference(*rows)
        covered += low <= truth[0] - truth[1] <= high
    assert 0.93 < covered / 2_000 < 0.97


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [
        (row(0.112, 0.106, 0.118), row(0.110, 0.104, 0.116), "as last week (11.0 %)"),
        (row(0.39, 0.2, 0.6), row(0.28, 0.1, 0.5), "not measurably different from last week (28.0 %)"),
        (row(0.094, 0.089, 0.099), row(0.114, 0.109, 0.119), "less than last week (11.4 %)"),
        (row(0.114, 0.109, 0.119), row(0.094, 0.089, 0.099), "more than last week (9.40 %)"),
        (row(0.861), row(0.998), "99.8 % a week earlier"),
        (row(0.1, 0.09, 0.11), None, "no figure a week earlier"),
        (row(0.1, 0.09, 0.11), row(None), "no figure a week earlier"),
        (row(0.1, 0.09, math.nan), row(0.1, 0.09, 0.11), "10.0 % a week earlier"),
    ],
)
def test_a_comparison_in_words(new: Any, old: Any, words: str) -> None:
    assert in_words(new, old) == words


def test_a_week_with_a_clock_change_is_a_week() -> None:
    later = row(0.1, window_start=MONDAY + timedelta(days=7, hours=-1))
    others = [
        row(0.2, window_start=MONDAY + timedelta(days=1)),
        row(0.3, metric="reward_per_request"),
        row(0.4),
    ]
    assert week_before(later, others) is others[2]
    assert week_before(later, others[:2]) is None
