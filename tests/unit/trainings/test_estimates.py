"""An estimate scales the peaks of earlier trainings of the same recipe to the events of today."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tastemaker.trainings.estimates import NEWEST, estimate_memory
from tastemaker.trainings.records import FAILED, REGISTERED, Training

START = datetime(2026, 1, 1, tzinfo=UTC)
EARLIER = Training(
    "run", "ials", "shop", (), REGISTERED, "v1", None, START, START, 1.0, 1.0, 600, None, 10_000, 1_000, "abc"
)


def test_a_peak_grows_with_the_events_and_never_shrinks() -> None:
    assert estimate_memory([EARLIER], 1_000, "abc") == 600
    assert estimate_memory([EARLIER], 1_500, "abc") == 900
    assert estimate_memory([EARLIER], 10, "abc") == 600


def test_nothing_is_estimated_from_another_recipe_or_from_much_less_data() -> None:
    assert estimate_memory([], 1_000, "abc") is None
    assert estimate_memory([EARLIER], 1_000, "other") is None
    assert estimate_memory([EARLIER], 4_001, "abc") is None
    assert estimate_memory([replace(EARLIER, peak_bytes=None)], 1_000, "abc") is None
    assert estimate_memory([replace(EARLIER, events=None)], 1_000, "abc") is None


def test_a_training_that_was_ended_at_its_limit_counts() -> None:
    ended = replace(EARLIER, outcome=FAILED, peak_bytes=10_050)
    assert estimate_memory([ended, EARLIER], 1_000, "abc") == 10_050


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=20))
def test_the_largest_of_the_newest_counts(peaks: list[int]) -> None:
    earlier = [
        replace(EARLIER, peak_bytes=peak, started_at=START - timedelta(days=age))
        for age, peak in enumerate(peaks)
    ]
    assert estimate_memory(earlier, 1_000, "abc") == max(peaks[:NEWEST])
