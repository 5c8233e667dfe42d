"""Free ranges of a namespace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tastemaker.experiments.lifecycle.claims import first_free

BUCKETS = 40


@given(
    st.lists(st.integers(0, BUCKETS), max_size=8, unique=True).map(sorted),
    st.integers(1, BUCKETS),
)
def test_free_ranges_are_the_first_buckets_that_are_not_taken(edges: list[int], size: int) -> None:
    taken = list(zip(edges[::2], edges[1::2], strict=False))
    free = [bucket for bucket in range(BUCKETS) if not any(start <= bucket < end for start, end in taken)]
    found = first_free(taken[::-1], size, BUCKETS)
    if size > len(free):
        assert found is None
    else:
        assert found is not None
        assert [bucket for start, end in found for bucket in range(start, end)] == free[:size]
