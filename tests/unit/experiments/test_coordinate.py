"""Buckets: values computed elsewhere, and ranges that are owned exactly."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.experiment_plans import users
from tastemaker.experiments.coordinate import Coordinate, bucket, unit_hash
from tastemaker.experiments.plan import BUCKETS


@pytest.mark.parametrize(
    ("salt", "unit", "expected"),
    [
        ("ns-home", "u0000000", 721_898),
        ("ns-home", "u0000001", 368_568),
        ("exp-ranker-v2/arm", "u0000001", 674_017),
    ],
)
def test_buckets_of_the_recipe(salt: str, unit: str, expected: int) -> None:
    """Computed by coreutils' sha256sum and by DuckDB."""
    assert bucket(salt, unit) == expected


def test_the_hash_is_the_digests_beginning() -> None:
    assert unit_hash("ns-home", "u0000000") == 0xB8CE55AC0CCACB86


@given(
    st.lists(st.integers(0, BUCKETS), min_size=2, max_size=12, unique=True),
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=12, max_size=12),
)
def test_owners_are_those_of_the_bucket(edges: list[int], owners: list[str | None]) -> None:
    edges.sort()
    ranges = list(zip(edges, edges[1:], owners, strict=False))
    coordinate = Coordinate("salt", ranges)
    for unit in users(20):
        place = bucket("salt", unit)
        expected = next((owner for start, end, owner in ranges if start <= place < end), None)
        assert coordinate.owner(unit.encode()) == expected


def test_each_edge_is_exact() -> None:
    """A unit is in the range that starts at its bucket, and not in the one that ends there."""
    for unit in users(200):
        place, in_bytes = bucket("salt", unit), unit.encode()
        assert Coordinate("salt", [(place, place + 1, True)]).owner(in_bytes)
        assert not Coordinate("salt", [(0, place, True), (place + 1, BUCKETS, True)]).owner(in_bytes)


def test_the_first_hash_of_each_bucket_is_in_it() -> None:
    """The edges that are compared as bytes are the smallest hashes of their buckets."""
    for start in (1, 2, 3, 499_999, 500_000, 777_777, BUCKETS - 1):
        (edge,) = Coordinate("salt", [(start, BUCKETS, True)]).edges
        smallest = int.from_bytes(edge, "big")
        assert smallest * BUCKETS >> 64 == start
        assert (smallest - 1) * BUCKETS >> 64 == start - 1


def test_what_has_one_owner_is_not_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Coordinate("salt", [(500_000, BUCKETS, "a"), (0, 500_000, "a")])
    empty: Coordinate[str] = Coordinate("salt", [(0, 0, "a")])
    half = Coordinate("salt", [(0, 500_000, "a")])

    def refuse() -> None:
        raise AssertionError("hashed")

    for one in (whole, empty, half):
        monkeypatch.setattr(one, "salted", refuse)
    assert whole.owner(b"u1") == "a"
    assert empty.owner(b"u1") is None
    with pytest.raises(AssertionError, match="hashed"):
        half.owner(b"u1")


def test_salt_and_unit_can_not_be_confused() -> None:
    assert bucket("ab", "c") != bucket("a", "bc")
    assert unit_hash("a", "b") == int(hashlib.sha256(b"a\x1fb").hexdigest()[:16], 16)
