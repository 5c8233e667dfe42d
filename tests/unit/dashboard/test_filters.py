"""Filters are read from an address and written into addresses, and wrong ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.dashboard.filters import PERIODS, PageFilters
from tastemaker.errors import TastemakerError


@given(
    texts=st.dictionaries(st.sampled_from(["model", "version", "slice", "q"]), st.text(max_size=50)),
    period=st.sampled_from(PERIODS),
    page=st.integers(1, 100_000),
)
def test_an_address_has_all_that_filters_say(texts: dict[str, str], period: int, page: int) -> None:
    filters = PageFilters.parse({**texts, "period": str(period), "page": str(page)})
    query = filters.address("/models").partition("?")[2]
    from urllib.parse import parse_qsl

    again = PageFilters.parse(dict(parse_qsl(query)))
    assert {k: v for k, v in again.key() if v} == {k: v for k, v in filters.key() if v}


@pytest.mark.parametrize(
    ("given_fields", "names"),
    [
        ({"period": "12"}, ["period", "'12'", "7, 28, 90"]),
        ({"period": "-7"}, ["period", "'-7'"]),
        ({"period": "٢٨"}, ["period"]),
        ({"page": "0"}, ["page", "'0'", "1 to 100,000"]),
        ({"page": "9" * 5_000}, ["page", "100,000"]),
        ({"version": "v" * 201}, ["version", "201", "200"]),
    ],
)
def test_a_wrong_filter_is_refused_with_its_name_and_limit(
    given_fields: dict[str, str], names: list[str]
) -> None:
    with pytest.raises(TastemakerError) as refused:
        PageFilters.parse(given_fields)
    for name in names:
        assert name in refused.value.problem
    assert refused.value.fix
