"""Distances agree with independent computations, and thresholds keep their promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from tastemaker.monitoring.drift_distances import (
    MAX_VALUES,
    SMALLEST,
    ColumnCounts,
    compare,
    prediction_bound,
)

DAYS, ROWS = 28, 200
REFERENCE_DAYS = np.repeat(np.arange(DAYS), ROWS)
TODAY = np.full(ROWS, DAYS)
LEVEL = 0.005


def numbers(rng: np.random.Generator, current: np.ndarray) -> ColumnCounts:
    return ColumnCounts.of_numbers(rng.normal(10, 2, DAYS * ROWS), REFERENCE_DAYS, current, TODAY)


def test_the_distance_of_numbers_is_scipys_over_the_standard_deviation() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(10, 2, DAYS * ROWS).round(1), rng.normal(11, 3, ROWS).round(1)
    counts = ColumnCounts.of_numbers(before, REFERENCE_DAYS, now, TODAY)
    assert counts.distance(counts.current.sum(0), counts.reference.sum(0)) == pytest.approx(
        wasserstein_distance(now, before) / before.std(), rel=0.02
    )
    assert counts.values is not None
    assert len(counts.values) <= MAX_VALUES


def test_the_distance_of_labels_is_jensen_shannons() -> None:
    counts = ColumnCounts.of_labels(
        ["a"] * 60 + ["b"] * 40, np.repeat(np.arange(10), 10), ["a", "c", "c", "c"], np.full(4, 10)
    )
    expected = jensenshannon([0.6, 0.4, 0], [0.25, 0, 0.75])
    assert counts.distance(counts.current.sum(0), counts.reference.sum(0)) == pytest.approx(expected)


def test_missing_values_are_a_distance_of_their_own() -> None:
    rng = np.random.default_rng(0)
    half = np.where(np.arange(ROWS) % 2, rng.normal(10, 2, ROWS), math.nan)
    found = compare(numbers(rng, half), LEVEL)
    assert found.distance == pytest.approx(0.5)
    assert (found.direction, found.alarm) == ("missing", True)
    nothing = compare(numbers(rng, np.full(ROWS, np.inf)), LEVEL)
    assert (nothing.distance, nothing.direction) == (1.0, "missing")


@pytest.mark.parametrize(
    ("change", "direction"),
    [(lambda x: x * 1.2, "higher"), (lambda x: x * 0.8, "lower"), (lambda x: 10 + 2 * (x - 10), "spread")],
)
def test_a_change_has_its_direction(change: object, direction: str) -> None:
    rng = np.random.default_rng(1)
    found = compare(numbers(rng, change(rng.normal(10, 2, ROWS))), LEVEL)  # type: ignore[operator]
    assert (found.direction, found.alarm) == (direction, True)


def test_the_label_whose_share_changed_most_is_named() -> None:
    before = ["a", "b", "c", "c"] * (DAYS * ROWS // 4)
    found = compare(ColumnCounts.of_labels(before, REFERENCE_DAYS, ["a"] * ROWS, TODAY), LEVEL)
    assert (found.label, found.direction, found.alarm) == ("a", "shares", True)


def test_days_that_differ_raise_the_threshold() -> None:
    rng = np.random.default_rng(2)
    same = rng.normal(10, 2, DAYS * ROWS)
    now = rng.normal(11.2, 2, ROWS)
    moods = np.repeat(rng.normal(0, 1, DAYS), ROWS)
    steady, moody = (
        compare(ColumnCounts.of_numbers(same + extra, REFERENCE_DAYS, now, TODAY), LEVEL)
        for extra in (np.zeros(DAYS * ROWS), moods)
    )
    assert steady.alarm
    assert not moody.alarm
    assert moody.usual_change is not None
    assert steady.usual_change is not None
    assert moody.usual_change > 2 * steady.usual_change


def test_no_threshold_is_below_what_matters_and_a_short_reference_has_none() -> None:
    before, now = np.tile([1.0, 2.0], DAYS * ROWS // 2), np.tile([1.0, 2.0], ROWS // 2)
    assert compare(ColumnCounts.of_numbers(before, REFERENCE_DAYS, now, TODAY), LEVEL).threshold == SMALLEST
    short = compare(
        ColumnCounts.of_numbers(before[: 6 * ROWS], REFERENCE_DAYS[: 6 * ROWS], now + 5, TODAY), LEVEL
    )
    assert short.threshold is None
    assert not short.alarm


def test_a_small_window_is_compared_with_windows_of_its_size() -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(10, 2, DAYS * ROWS)
    few = 20
    small, large = (
        compare(ColumnCounts.of_numbers(before, REFERENCE_DAYS, rng.normal(10, 2, n), TODAY[:n]), LEVEL)
        for n in (few, ROWS)
    )
    assert small.threshold is not None
    assert large.threshold is not None
    assert small.threshold > 1.5 * large.threshold


@pytest.mark.slow
@pytest.mark.parametrize("n_labels", [2, 12])
def test_healthy_columns_raise_alarms_at_about_the_level(n_labels: int) -> None:
    """The level is 2 %, and no distance is too small to count."""
    rng = np.random.default_rng(4)
    labels = np.array([f"label {number}" for number in range(n_labels)])
    alarms = 0
    for _ in range(300):
        before, now = (labels[rng.integers(n_labels, size=n)].tolist() for n in (DAYS * ROWS, ROWS))
        counts = ColumnCounts.of_labels(before, REFERENCE_DAYS, now, TODAY)
        pairs = [
            counts.distance(counts.reference[day], np.delete(counts.reference, day, 0).sum(0))
            for day in range(DAYS)
        ]
        bound = prediction_bound(np.array(pairs), DAYS, 0.02)
        alarms += counts.distance(counts.current.sum(0), counts.reference.sum(0)) > bound
    assert alarms <= 15  # 6 are expected; more than 15 have a probability of 0.0005


def test_a_changed_day_in_the_reference_does_not_hide_the_next() -> None:
    rng = np.random.default_rng(5)
    before = rng.normal(10, 2, DAYS * ROWS)
    before[-ROWS:] += 3
    now = rng.normal(13, 2, ROWS)
    assert compare(ColumnCounts.of_numbers(before, REFERENCE_DAYS, now, TODAY), LEVEL).alarm
