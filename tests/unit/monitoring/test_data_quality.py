"""Quality of the newest ingested days: each planted fault is found by its figure, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import open_duckdb
from tastemaker.data.tables import EVENTS, nullable
from tastemaker.monitoring.data_quality import EARLIER_DAYS, NEWEST_DAYS, data_quality_report, summarize
from tastemaker.monitoring.ingested_rows import IngestedRows
from tastemaker.storage.engine import open_engine

FIRST = date(2026, 10, 1)
N = 200
DAYS = [FIRST + timedelta(days=at) for at in range(EARLIER_DAYS + NEWEST_DAYS)]
NEWEST = DAYS[-NEWEST_DAYS:]
Rows = dict[str, list[Any]]
Fault = Callable[[Rows], None]


def day_rows(day: date) -> Rows:
    """Return the rows of a healthy day."""
    rng = np.random.default_rng(day.toordinal())
    midnight = datetime.combine(day, time(), UTC)
    values = [1.0, 100.0, *rng.uniform(1, 100, N - 2).tolist()]
    return {
        "event_id": [f"{day}-{at}" for at in range(N)],
        "user_id": [f"user-{at % 50}" for at in range(N)],
        "item_id": [f"item-{at % 20}" for at in range(N)],
        "event_type": ["view" if at % 3 else "purchase" for at in range(N)],
        "value": values,
        "occurred_at": [midnight + timedelta(seconds=at) for at in range(N)],
        "request_id": [None] * N,
        "position": [0] * N,
    }


def write_day(lake: Lake, day: date, fault: Fault | None = None) -> None:
    rows = day_rows(day)
    if fault is not None:
        fault(rows)
    own = [pa.field(name, pa.string()) for name in rows if name not in EVENTS.names]
    table = pa.table(rows, schema=pa.schema([*nullable(EVENTS), *own]))
    lake.write_day("landed_events", day, table, part="shop")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for day in DAYS:
        write_day(lake, day)
    return lake


@contextmanager
def opened(lake: Lake, days: list[date] = DAYS) -> Iterator[tuple[IngestedRows, list[date], list[date]]]:
    newest, earlier = days[-NEWEST_DAYS:], days[:-NEWEST_DAYS]
    with open_duckdb() as connection:
        yield IngestedRows(connection, lake, newest, earlier), newest, earlier


def summary(
    lake: Lake, *, fault: Fault | None = None, days: list[date] = DAYS, faulty: date = NEWEST[-1]
) -> dict[str, Any]:
    """Return the summary of days, of which one has a fault; the lake is healthy again afterwards."""
    write_day(lake, faulty, fault)
    try:
        with opened(lake, days) as rows:
            return summarize(*rows)
    finally:
        write_day(lake, faulty)


def column(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["columns"] if one["column"] == name)


def lose_values(rows: Rows) -> None:
    rows["value"][:70] = [None] * 35 + [float("nan")] * 35


def lose_all_rows(rows: Rows) -> None:
    for values in rows.values():
        values.clear()


def repeat_rows(rows: Rows) -> None:
    rows["event_id"][100:] = rows["event_id"][:100]


def deliver_again(rows: Rows) -> None:
    rows["event_id"][:3] = [f"{DAYS[0]}-{at}" for at in range(3)]


def raise_values(rows: Rows) -> None:
    rows["value"] = [value * 100 for value in rows["value"]]


def rename_type(rows: Rows) -> None:
    rows["event_type"][0] = "Purchase"


def add_column(rows: Rows) -> None:
    rows["shop"] = ["x"] * N


def lose_rows(rows: Rows) -> None:
    for values in rows.values():
        del values[40:]


FAULTS: dict[Fault, str] = {
    lose_values: "value: missing values were 0.0% and are 5.0%",
    repeat_rows: "rows with the event id of another row of their day were 0.0% and are 7.1%",
    deliver_again: "3 rows have the event id of a row of an earlier day",
    raise_values: "value: 14.2% of the values are outside of the range before, 1 to 100",
    rename_type: "event_type: values that the days before do not have, such as 'Purchase'",
    add_column: "the column shop is new",
    lose_rows: f"shop has 40 rows of {NEWEST[-1]}; the days before have at least 200",
}


def test_healthy_days_are_silent(healthy: Lake) -> None:
    found = summary(healthy)
    assert found["findings"] == []
    assert found["verdict"] == (
        f"Nothing is unusual in the {N * NEWEST_DAYS:,} rows of {NEWEST[0]} to {NEWEST[-1]}, compared with "
        f"the {EARLIER_DAYS} days before."
    )
    value = column(found, "value")
    assert value["newest"] == value["earlier"] == {"missing": 0.0, "low": 1.0, "high": 100.0}
    assert column(found, "request_id")["newest"]["missing"] == 1.0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_the_only_finding(fault: Fault, healthy: Lake) -> None:
    found = summary(healthy, fault=fault)
    assert found["findings"] == [FAULTS[fault]]
    assert FAULTS[fault] in found["verdict"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_of_the_days_before_is_not_one_of_now(fault: Fault, healthy: Lake) -> None:
    said = " ".join(summary(healthy, fault=fault, faulty=DAYS[2])["findings"])
    assert FAULTS[fault] not in said
    assert said in ("", "the column shop is gone")


def test_shares_are_of_all_newest_rows_and_figures_by_day_of_one_day(healthy: Lake) -> None:
    found = summary(healthy, fault=lose_values)
    assert column(found, "value")["newest"]["missing"] == 70 / (N * NEWEST_DAYS)
    missing = [day["missing"] for day in found["by_day"]]  # request_id never has a value
    assert missing == [N] * (NEWEST_DAYS - 1) + [N + 70]


def test_a_day_without_rows_is_named(healthy: Lake) -> None:
    found = summary(healthy, days=[day for day in DAYS if day != NEWEST[3]])
    assert found["findings"] == [f"shop has no rows of {NEWEST[3]}"]


@pytest.mark.slow
def test_a_source_that_delivers_nothing_any_more_is_named(tmp_path: Path) -> None:
    lake, engine = Lake(tmp_path / "lake"), open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}")
    for day in DAYS:
        write_day(lake, day, fault=lose_all_rows if day in NEWEST else None)
    report = data_quality_report(lake, engine, tmp_path / "reports", "shop")
    assert report is not None
    assert report.summary["findings"] == ["shop has no rows, and had some on the days before"]
    assert "Evidently" not in report.path.read_text("utf-8")
    assert [path.name for path in report.path.parent.iterdir()] == [report.path.name]


@pytest.mark.parametrize("n_days", [1, NEWEST_DAYS])
def test_without_days_before_nothing_is_compared(healthy: Lake, n_days: int) -> None:
    found = summary(healthy, days=DAYS[-n_days:], fault=raise_values)
    assert found["findings"] == []
    assert "It can't be said yet whether something is unusual" in found["verdict"]


def test_ids_are_numbers_in_the_sample(healthy: Lake) -> None:
    with opened(healthy) as (rows, newest, _):
        sample = rows.sample("newest")
    assert set(sample["user_id"].to_pylist()) == {str(number) for number in range(1, 51)}
    assert len(set(sample["event_id"].to_pylist())) == N * NEWEST_DAYS
    values = [value for day in newest for value in day_rows(day)["value"]]
    assert sorted(sample["value"].to_pylist()) == sorted(values)
