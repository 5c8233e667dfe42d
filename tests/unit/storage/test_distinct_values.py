"""Values, combinations and newest rows by the steps of an index equal those of a plain search."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import groupby

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    select,
)

from tastemaker.storage.distinct_values import any_value, distinct_keys, distinct_values, newest_ids

ROWS = Table(
    "rows",
    MetaData(),
    Column("id", Integer, primary_key=True),
    *(Column(name, String) for name in "abc"),
    Index(None, "a", "b", "c"),
)
C = ROWS.c
Found = list[tuple[int, str, str, str]]


@pytest.fixture(params=range(8))
def rows(request: pytest.FixtureRequest) -> Iterator[tuple[Connection, Found]]:
    """Rows of a few values, the empty one among them; of seed 0 none."""
    rng = random.Random(request.param)
    drawn = rng.choices(["", "x", "y", "é"], k=request.param * 15)
    found = [(n, *abc) for n, abc in enumerate(zip(drawn[::3], drawn[1::3], drawn[2::3], strict=True))]
    engine = create_engine("sqlite://")
    ROWS.metadata.create_all(engine)
    with engine.connect() as connection:
        if found:
            connection.execute(insert(ROWS), [dict(zip(("id", *"abc"), row, strict=True)) for row in found])
        yield connection, found
    engine.dispose()


def test_distinct_values_end_with_a_null(rows: tuple[Connection, Found]) -> None:
    connection, found = rows
    values = connection.execute(select(distinct_values(C.a, C.b != "x"))).scalars().all()
    assert values == [*sorted({a for _, a, b, _ in found if b != "x"}), None]


@pytest.mark.parametrize("columns", ["a", "ab", "abc"])
def test_combinations_are_those_of_the_rows(rows: tuple[Connection, Found], columns: str) -> None:
    connection, found = rows
    keys = connection.execute(select(distinct_keys([C[name] for name in columns]))).all()
    known = [tuple(key) for key in keys if key[-1] is not None]
    assert sorted(known) == sorted({row[1 : 1 + len(columns)] for row in found}), "each once"


def test_combinations_of_some_rows(rows: tuple[Connection, Found]) -> None:
    connection, found = rows
    keys = connection.execute(select(distinct_keys([C.b, C.c], C.a == "x"))).all()
    known = [tuple(key) for key in keys if key[-1] is not None]
    assert sorted(known) == sorted({(b, c) for _, a, b, c in found if a == "x"})


def test_the_newest_id_of_each_value(rows: tuple[Connection, Found]) -> None:
    connection, found = rows
    newest = connection.execute(newest_ids(C.id, C.a)).scalars().all()
    by_value = groupby(sorted(found, key=lambda row: row[1]), key=lambda row: row[1])
    assert sorted(newest) == sorted(max(row[0] for row in own) for _, own in by_value)


def test_any_value_is_met_by_every_row(rows: tuple[Connection, Found]) -> None:
    connection, found = rows
    assert sorted(map(tuple, connection.execute(select(ROWS).where(any_value(C.a))).all())) == sorted(found)


def test_no_columns_have_no_combinations() -> None:
    with pytest.raises(ValueError, match="give at least one column"):
        distinct_keys([])
