"""Summaries of units: adding them is pooling the units, and databases compute the same."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tastemaker.errors import TastemakerError
from tastemaker.stats.unit_summary import UnitSummary, sql_columns

NAMES = ("reward", "lists", "before")


def summary(values: np.ndarray) -> UnitSummary:
    return UnitSummary.of({name: values[:, at] for at, name in enumerate(NAMES)})


def assert_same(one: UnitSummary, other: UnitSummary, scale: float) -> None:
    assert one.names == other.names
    assert one.n == other.n
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=1e-9, atol=1e-9 * max(one.n, 1) * scale**2)


values_of_units = arrays(
    np.float64, st.tuples(st.integers(0, 60), st.just(3)), elements=st.floats(-1e6, 1e6, width=32)
)


@given(values_of_units, st.lists(st.integers(0, 60), max_size=4))
def test_merging_equals_pooling(values: np.ndarray, cuts: list[int]) -> None:
    parts = np.split(values, sorted(cuts))
    merged = UnitSummary.empty(NAMES)
    for part in parts:
        merged = merged + summary(part)
    assert_same(merged, summary(values), max(1.0, float(np.abs(values).max(initial=0))))


@given(values_of_units)
def test_the_scatter_is_numpys_covariance(values: np.ndarray) -> None:
    found = summary(values)
    if found.n > 1:
        expected = np.cov(values, rowvar=False)
        scale = max(1.0, float(np.abs(values).max()))
        np.testing.assert_allclose(found.scatter / (found.n - 1), expected, rtol=1e-9, atol=1e-9 * scale**2)


def test_a_database_computes_the_same_far_from_zero() -> None:
    """The units' values are large and close to each other, which sums of squares would not survive."""
    rng = np.random.default_rng(0)
    values = 1e9 + rng.normal(size=(5_000, 3)) @ rng.normal(size=(3, 3))
    connection = duckdb.connect()
    connection.execute("CREATE TABLE units (reward DOUBLE, lists DOUBLE, before DOUBLE)")
    connection.register("given", {name: values[:, at] for at, name in enumerate(NAMES)})
    connection.execute("INSERT INTO units SELECT * FROM given")
    row = connection.execute(f"SELECT {', '.join(sql_columns(NAMES))} FROM units").fetchone()  # noqa: S608
    assert row is not None
    found, expected = UnitSummary.of_row(NAMES, row), summary(values)
    assert found.n == expected.n
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-14)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=1e-4)


def test_a_database_without_rows_gives_the_empty_summary() -> None:
    query = f"SELECT {', '.join(sql_columns(['a', 'b']))} FROM (SELECT 1.0 AS a, 2.0 AS b WHERE false)"  # noqa: S608
    (row,) = duckdb.connect().execute(query).fetchall()
    found = UnitSummary.of_row(["a", "b"], row)
    assert found.n == 0
    one = UnitSummary.of({"a": [1.0], "b": [2.0]})
    assert_same(found + one, one, 1)


def test_a_name_with_a_quote_is_one_identifier() -> None:
    assert sql_columns(['a"; DROP TABLE units; --'])[1] == 'avg("a""; DROP TABLE units; --")'


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_by_name(wrong: float) -> None:
    with pytest.raises(TastemakerError, match="'lists' has values that are not finite numbers"):
        UnitSummary.of({"reward": [1.0, 2.0], "lists": [1.0, wrong]})
    with pytest.raises(TastemakerError, match="not finite"):
        UnitSummary.of_row(["reward"], [2, wrong, 1.0])
    with pytest.raises(TastemakerError, match="not finite"):
        UnitSummary.of_row(["reward"], [2, 1.0, wrong])


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(TastemakerError, match="reward: 2, lists: 1"):
        UnitSummary.of({"reward": [1.0, 2.0], "lists": [1.0]})


def test_summaries_of_other_columns_are_not_added() -> None:
    with pytest.raises(ValueError, match="can't be added"):
        _ = UnitSummary.of({"a": [1.0]}) + UnitSummary.of({"b": [1.0]})
