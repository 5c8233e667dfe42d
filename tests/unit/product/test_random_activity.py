"""Growth and retention of random small worlds, against plain Python."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.product_homes import PROBLEM, ProductWorld
from support.product_truth import ProductTruth
from tastemaker.data.lake_files import open_duckdb
from tastemaker.problem import load_problem
from tastemaker.product.cell import Level
from tastemaker.product.definition import MIN_USERS
from tastemaker.product.growth_cells import GrowthCells
from tastemaker.product.growth_metrics import GROWTH
from tastemaker.product.retention_cells import RetentionCells
from tastemaker.product.retention_metrics import RETENTION

FIRST = date(2026, 1, 5)
"""A Monday."""
worlds = st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 75), min_size=1, max_size=9), min_size=1)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> ProductTruth:
    path = tmp_path_factory.mktemp("problem") / "problem.yaml"
    path.write_text(PROBLEM)
    return ProductTruth(ProductWorld(), load_problem(path), "UTC", 0.0)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(worlds)
def test_they_are_those_of_plain_python(truth: ProductTruth, world: dict[int, set[int]]) -> None:
    copies = MIN_USERS  # each user's life is that of so many, so that there is enough data for values
    truth.active = defaultdict(set)
    for user, numbers in world.items():
        for copy in range(copies):
            truth.active[f"{user}-{copy}"] = {FIRST + timedelta(days=number) for number in numbers}
    rows = [
        {"user_id": number, "day": day}
        for number, days in enumerate(truth.active.values())
        for day in sorted(days)
    ]
    until = FIRST + timedelta(days=75)
    with open_duckdb() as connection:
        schema = pa.schema([("user_id", pa.int32()), ("day", pa.date32())])
        connection.register("activity", pa.Table.from_pylist(rows, schema=schema))
        connection.execute(
            "CREATE TABLE firsts AS SELECT user_id, min(day) AS first_day FROM activity GROUP BY user_id"
        )
        growth = {
            (cell.metric, cell.window.last): cell
            for cell in GrowthCells(connection, FIRST).of(until - timedelta(days=12), until)
        }
        cohorts = list(RetentionCells(connection).of("FROM firsts", Level(()), FIRST, until, until))
    for last in {last for _, last in growth}:
        expected = truth.growth(last)
        for metric in GROWTH:
            cell = growth[metric.name, last]
            if cell.value is not None:
                assert cell.value == pytest.approx(expected[metric.name], rel=1e-12), metric.name
            else:
                assert cell.n < MIN_USERS
        parts = ("new_users_28", "retained_users_28", "resurrected_users_28")
        assert sum(growth[name, last].value or 0 for name in parts) == growth["mau", last].value
    spans = {one.name: (int(one.first), int(one.last)) for one in RETENTION if not one.slice}
    for cell in cohorts:
        if cell.metric in spans:
            followed, came = truth.retention(
                truth.first_days(), cell.window.first, *spans[cell.metric], until
            )
            assert (cell.n, cell.value) == (followed, came / followed if followed else None)
