"""Figures of the lists of random small shops, against the SQL of the definitions, run for one window."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tastemaker.data.lake_files import open_duckdb
from tastemaker.data.tables import UTC_MICROSECONDS
from tastemaker.product import spans
from tastemaker.product.catalogue_cells import CatalogueCells
from tastemaker.product.catalogue_metrics import CATALOGUE
from tastemaker.product.cell import LEVELS, Cell, Group, MetricWindow, WindowEnds, group_of
from tastemaker.product.definition import MIN_USERS, MetricDefinition
from tastemaker.product.engagement_cells import EngagementCells
from tastemaker.product.engagement_metrics import ENGAGEMENT, POSITIONS, MedianMetric, RatioMetric
from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.ratios import ratio_interval
from tastemaker.stats.shares import median_interval

FIRST, DAYS = date(2026, 1, 5), 24
COPIES = MIN_USERS
"""Each user's life is that of so many, so that there is enough data for values."""
GROUPS = [
    Group(model, version, experiment, variant)
    for model, version in (("a", "1"), ("a", "2"), ("b", "1"))
    for experiment, variant in (("", ""), ("page", "control"), ("page", "treatment"))
]
COUNTS = {
    "lists": 5, "impressions": 50, "model_lists": 5, "fallback_lists": 2, "empty_lists": 2, "closed_lists": 5,
    "closed_impressions": 40, "rewarded_impressions": 4, "rewarded_lists": 2, "events_click": 3,
    **{f"position_{n}_shown": 3 for n in range(1, POSITIONS + 1)},
    **{f"position_{n}_rewarded": 2 for n in range(1, POSITIONS + 1)},
}  # fmt: skip
"""Columns of whole numbers, each with what its values are below."""
USER_DAYS = pa.schema(
    [
        *(("user_id", pa.int32()), ("day", pa.date32()), ("days", pa.float64()), ("reward", pa.float64())),
        *((name, pa.string()) for name in Group._fields),
        *((name, pa.int64()) for name in COUNTS),
        *(("hours_to_reward", pa.list_(pa.float64())), ("latencies_ms", pa.list_(pa.float32()))),
    ]
)
ITEM_DAYS = pa.schema(
    [
        *(("item_id", pa.int32()), ("day", pa.date32()), ("model", pa.string()), ("version", pa.string())),
        *(("category", pa.string()), ("first_seen_at", UTC_MICROSECONDS)),
        *(("impressions", pa.int64()), ("new_impressions", pa.int64())),
    ]
)
ENDS = pa.schema([("last", pa.date32()), ("ends_at", UTC_MICROSECONDS), ("items", pa.int64())])
SLICES = {"": [""], "event_type": ["click"], "position": ["1", "2", "10"], "category": ["books", "games"]}

ALL = Group()

Key = tuple[str, str, MetricWindow, Group]


def midnight(number: int) -> datetime:
    """The start of a day in UTC."""
    return datetime.combine(FIRST + timedelta(days=number), time.min, UTC)


def user_days(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Rows of users with a few days each; rewards are of both signs, and no whole numbers."""
    for user in range(8):
        for day in rng.choice(DAYS, rng.integers(1, 12), replace=False):
            for group in rng.choice(len(GROUPS), rng.integers(1, 3), replace=False):
                row = GROUPS[group]._asdict() | {
                    name: int(rng.integers(0, end)) for name, end in COUNTS.items()
                }
                row |= {
                    "day": midnight(int(day)).date(),
                    "days": 1 / 3,
                    "reward": float(rng.choice([0, 0.125, 7.25, -7.25])),  # sums are exact in any order
                    "hours_to_reward": rng.exponential(3, rng.integers(0, 3)).tolist() or None,
                    "latencies_ms": rng.gamma(2, 5, rng.integers(0, 4)).tolist() or None,
                }
                for copy in range(COPIES):
                    yield row | {"user_id": COPIES * user + copy}


def item_days(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Rows of items, whose category and first day change, or become unknown, from day to day."""
    for item in range(150):
        for day in rng.choice(DAYS, rng.integers(1, 6), replace=False):
            known = {
                "item_id": item,
                "day": midnight(int(day)).date(),
                "category": [None, "books", "games"][rng.integers(3)],
                "first_seen_at": None if rng.random() < 0.1 else midnight(int(rng.integers(-9, 2 * DAYS))),
            }
            for model, version in {GROUPS[n][:2] for n in rng.choice(len(GROUPS), 2)}:
                shown = int(rng.integers(10, 90))
                new = int(rng.integers(0, shown))
                yield known | {
                    "model": model,
                    "version": version,
                    "impressions": shown,
                    "new_impressions": new,
                }


def draw(rng: np.random.Generator) -> dict[str, pa.Table]:
    """Return the tables of a random shop."""
    ends = [
        {"last": midnight(day).date(), "ends_at": midnight(day + 1), "items": 100 + 3 * day}
        for day in range(DAYS + 3)
    ]
    return {
        "user_days": pa.Table.from_pylist(list(user_days(rng)), schema=USER_DAYS),
        "item_days": pa.Table.from_pylist(list(item_days(rng)), schema=ITEM_DAYS),
        "ends": pa.Table.from_pylist(ends, schema=ENDS),
    }


def register(connection: duckdb.DuckDBPyConnection, tables: dict[str, pa.Table], group: Group = ALL) -> None:
    """Give a connection the rows of a group."""
    for name, rows in tables.items():
        for key, value in group._asdict().items():
            if value and key in rows.schema.names:
                rows = rows.filter(pc.equal(rows[key], value))
        connection.register(name, rows)


def compute(tables: dict[str, pa.Table], ends: WindowEnds) -> dict[Key, Cell]:
    """Return the figures as the platform computes them."""
    users: dict[tuple[MetricWindow, Group], int] = defaultdict(lambda: COPIES)
    with open_duckdb() as connection:
        register(connection, tables)
        engagement = EngagementCells(connection, ["click"])
        cells = [
            *(cell for one in LEVELS for cell in engagement.of(one, [ends], closed_until=ends.last)),
            *CatalogueCells(connection).of([ends], users),
        ]
    found = {(one.metric, one.slice.partition("=")[2], one.window, one.group): one for one in cells}
    assert len(found) == len(cells)
    return found


def by_sql(
    connection: duckdb.DuckDBPyConnection, metric: MetricDefinition, slice_: str, window: MetricWindow
) -> float | None:
    """Run the SQL of a definition, as the dashboard shows it."""
    sql = metric.sql.replace(f"{{{metric.slice}}}", slice_)
    given = {"first": window.first, "last": window.last, "category": slice_}
    ((value,),) = connection.execute(
        sql, {name: one for name, one in given.items() if f"${name}" in sql}
    ).fetchall()
    return value if value is None or math.isfinite(value) else None


def interval(
    connection: duckdb.DuckDBPyConnection, metric: MetricDefinition, slice_: str, window: MetricWindow
) -> Interval | None:
    """Compute an interval from each user's own sums or median."""
    if isinstance(metric, RatioMetric):
        one = metric.of_slice(slice_)
        query = f"SELECT ({one.over})::DOUBLE, ({one.under})::DOUBLE FROM user_days"  # noqa: S608 - our own
        rows = connection.execute(f"{query} WHERE day BETWEEN ? AND ? GROUP BY user_id", window).fetchall()
        over, under = np.array(rows, np.float64).reshape(-1, 2).T
        found = ratio_interval(over, under)
        return Interval(found.value, one.scale * found.low, one.scale * found.high, found.users)
    if isinstance(metric, MedianMetric):
        query = f"SELECT user_id, unnest({metric.values}) AS one FROM user_days WHERE day BETWEEN ? AND ?"  # noqa: S608 - our own
        rows = connection.execute(f"SELECT median(one) FROM ({query}) GROUP BY user_id", window).fetchall()  # noqa: S608 - our own
        return median_interval(np.array(rows, np.float64).ravel())
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("days", "counts"), [(1, 40), (2, spans.DENSE_COUNTS), (5, 40), (DAYS, 1)])
def test_they_are_those_of_the_definitions(days: int, counts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "DENSE_COUNTS", counts)
    rng = np.random.default_rng(days)
    tables = draw(rng)
    ends = WindowEnds(midnight(4).date(), midnight(DAYS + 2).date(), days)
    cells = compute(tables, ends)
    groups = sorted({group_of(level, one._asdict()) for one in GROUPS for level in LEVELS[1:]})
    compared = set()
    for place in (8, *rng.choice(len(ends.windows), 2)):
        for group in (ALL, *rng.permutation(groups)[:3]):
            compared |= compare(tables, cells, ends.windows[place], Group(*map(str, group)))
    assert compared == {one.name for one in (*ENGAGEMENT, *CATALOGUE)}


def compare(
    tables: dict[str, pa.Table], cells: dict[Key, Cell], window: MetricWindow, group: Group
) -> set[str]:
    """Compare a group's cells of a window, and return the metrics that have a value."""
    compared = set()
    with open_duckdb() as connection:
        register(connection, tables, group)
        for metric in (*ENGAGEMENT, *(() if group.experiment else CATALOGUE)):
            for slice_ in SLICES[metric.slice]:
                cell = cells.get((metric.name, slice_, window, group))
                expected = by_sql(connection, metric, slice_, window)
                if cell is None:
                    assert not expected, (metric.name, slice_)
                elif cell.value is not None:
                    assert cell.value == pytest.approx(expected, rel=1e-9, abs=1e-12), (metric.name, slice_)
                    compared.add(metric.name)
                    check_ends(cell, interval(connection, metric, slice_, window))
    return compared


def check_ends(cell: Cell, found: Interval | None) -> None:
    """Compare the ends of a cell with those of an interval."""
    if found is None:
        assert cell.low is cell.high is None
    else:
        ends = [None if math.isnan(end) else pytest.approx(end, rel=1e-9, abs=1e-9) for end in found[1:]]
        assert [cell.low, cell.high] == ends
        assert cell.n == found.users
