"""What is said of ids that differ only in how they are written."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from tastemaker.data.validation.profile import alike_warnings


def said_of(users: list[str], *, hidden: bool = False) -> tuple[str, ...]:
    events = pa.table({"user_id": users, "event_type": ["view"] * len(users)})
    with duckdb.connect() as connection:
        connection.register("events", events)
        return alike_warnings(connection, "users", hidden=hidden)


@pytest.mark.parametrize("other", ["anna7", "ANNA7", "An na7", "Anna\u200b7", "Anna\uff17"])
def test_two_ways_to_write_an_id_are_reported_with_both(other: str) -> None:
    (warning,) = said_of(["Anna7", other, "Bert", "Cleo"])
    first, second = sorted(["Anna7", other])
    assert warning.startswith(
        "2 of 4 users that events name differ from another only in letter case, leading zeros"
    )
    assert f"such as {first!r} and {second!r}" in warning


def test_numbers_with_and_without_leading_zeros_are_alike() -> None:
    (warning,) = said_of(["27", "00027", "+27", "28", "0"], hidden=True)
    assert warning.startswith("3 of 5 users")
    assert "00027" not in warning


@pytest.mark.parametrize(
    "users", [["a1", "a01", "b", "1.0"], [], [*(f"user {n}" for n in range(300)), "USER 1"]]
)
def test_other_ids_and_a_few_among_many_are_not_reported(users: list[str]) -> None:
    assert said_of(users) == ()
