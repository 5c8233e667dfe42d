"""How columns write times and numbers: read where the whole column leaves one reading, else asked for."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.sources import open_source
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings

pytestmark = pytest.mark.slow
TIMESTAMP = datetime(2024, 1, 31, 15, 4, 5, tzinfo=UTC)


def column(folder: Path, name: str, values: list[str], **options: Any) -> list[Any]:
    """What is read of a column of these texts, in the order of the rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    own = {"occurred_at": "2024-01-31", "value": "1"}
    writer.writerow(["user_id", "item_id", *own])
    for place, value in enumerate(values):
        writer.writerow([f"u{place:04}", "i", *(own | {name: value}).values()])
    path = folder / "events.csv"
    path.write_text(text.getvalue(), "utf-8")
    source = open_source(SourceSettings(path=path, **options))
    rows = pa.concat_tables(source.read(None, 1_000)).sort_by("user_id")
    assert len(rows) == len(values)
    found: list[Any] = rows[name].to_pylist()
    return found


@pytest.mark.parametrize(
    "values",
    [
        ["1706713445.0"],
        ["1706713445"],
        ["1706713445000"],
        ["1706713445000000"],
        ["1706713445000000000"],
        ["1.706713445e+18"],
        ["1.706713445e9"],
        ["20240131150405"],
        ["20240131T150405Z"],
        ["20240131 15:04:05"],
        ["2024-01-31T16:04:05+01:00[Europe/Paris]"],
        ["2024-01-31 16:04:05 CET", "2024-01-31 17:04:05 CEST", "2024-01-31 10:04:05 EST"],
        ["Wed Jan 31 2024 16:04:05 GMT+0100 (Central European Standard Time)"],
        ["45322.627835648"],
        ["2024-01-31T15:04:05Z"],
        ["2024-01-31T17:04:05+02:00"],
        ["2024-01-31 17:04:05 +0200"],
        ["2024-01-31 03:04:05 PM"],
        ["31/01/2024 15:04:05"],
        ["31.1.2024 15:04:05"],
        ["31-01-24 15:04:05"],
        ["1/31/2024 3:04:05 PM"],
        ["01/31/2024 3:04:05 p.m."],
        ["Jan 31, 2024 15:04:05"],
        ["31 January 2024, 15:04:05"],
        ["31-JAN-24 15:04:05"],
        ["Wed, 31 Jan 2024 15:04:05 GMT"],
        ["Wed Jan 31 15:04:05 2024"],
        ["Wed Jan 31 15:04:05 +0000 2024"],
        ["31/Jan/2024:16:04:05 +0100"],
        ["31st of January 2024 at 15:04:05"],
    ],
)
def test_one_time_in_many_forms(tmp_path: Path, values: list[str]) -> None:
    assert column(tmp_path, "occurred_at", values) == [TIMESTAMP] * len(values)


def test_the_whole_column_decides(tmp_path: Path) -> None:
    first, second = datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 1, 31, tzinfo=UTC)
    assert column(tmp_path, "occurred_at", ["01/02/2024", "31/01/2024"]) == [first, second]
    assert column(tmp_path, "occurred_at", ["02/01/2024", "01/31/2024"]) == [first, second]
    assert column(tmp_path, "occurred_at", ["20240201", "20240131"]) == [first, second]
    assert column(tmp_path, "occurred_at", ["20240201.0", "20240131.0"]) == [first, second]
    assert column(tmp_path, "occurred_at", ["45323", "45322"]) == [first, second]
    assert column(tmp_path, "occurred_at", ["2024-02-01", "yesterday", "31.13.2024"]) == [first, None, None]


def test_integers_of_a_parquet_file_may_be_days(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table({"user_id": [1], "item_id": [2], "occurred_at": [20240131]}), path)
    (rows,) = open_source(SourceSettings(path=path)).read(None, 10)
    assert rows["occurred_at"].to_pylist() == [datetime(2024, 1, 31, tzinfo=UTC)]


def test_local_forms_are_in_the_zone_of_the_settings(tmp_path: Path) -> None:
    for value in ("31.01.2024 16:04:05", "20240131160405", "45322.669502315"):
        assert column(tmp_path, "occurred_at", [value], timezone="Europe/Berlin") == [TIMESTAMP]


@pytest.mark.parametrize(
    ("name", "values", "said", "setting"),
    [
        (
            "occurred_at",
            ["01/02/2024", "03/04/2024"],
            "occurred_at can be read with the day or the month",
            "time_format",
        ),
        ("occurred_at", ["2024-01-31", "01/02/2024"], "such as '01/02/2024'", "time_format"),
        ("occurred_at", ["01/02/03"], "such as '01/02/03'", "time_format"),
        (
            "occurred_at",
            ["31/01/2024", "01/31/2024"],
            "only have the day first, such as '31/01/2024'",
            "time_format",
        ),
        ("occurred_at", ["2024-07-01 10:00:00 BST"], "such as '2024-07-01 10:00:00 BST'", "+01:00"),
        (
            "occurred_at",
            ["2024-07-01 10:00:00 CST", "2024-07-01 10:00:00"],
            "occurred_at name a zone",
            "timezone",
        ),
        ("occurred_at", ["31. Mai 2024"], "not English, such as '31. Mai 2024'", "months as numbers"),
        (
            "occurred_at",
            ["1 marraskuu 2024", "1 May 2024"],
            "such as '1 marraskuu 2024'",
            "months as numbers",
        ),
        ("value", ["1,234"], "value has numbers that can be read in two ways, such as '1,234'", "decimal"),
        ("value", ["12,5", "12.5"], "a decimal dot, such as '12.5', and others", "decimal"),
        ("value", ["€ 12.50"], "value have a sign of currency, such as '€ 12.50'", "bare numbers"),
        ("value", ["12.50 EUR", "13"], "sign of currency, such as '12.50 EUR'", "bare numbers"),
    ],
)
def test_several_readings_are_an_error_that_names_what_decides(
    tmp_path: Path, name: str, values: list[str], said: str, setting: str
) -> None:
    with pytest.raises(SourceError) as caught:
        column(tmp_path, name, values)
    assert said in caught.value.problem
    assert setting in str(caught.value.fix)


def test_a_few_stray_values_are_set_aside(tmp_path: Path) -> None:
    """Neither read in a way that is guessed, nor a reason to refuse the others."""
    days = ["2024-01-31"] * 20
    assert column(tmp_path, "occurred_at", [*days, "01/02/2024"])[-1] is None
    assert column(tmp_path, "value", [*["12.5"] * 20, "12,5"])[-1] is None
    assert column(tmp_path, "value", [*["12,5"] * 20, "12.5"])[-2:] == [12.5, None]
    assert column(tmp_path, "value", [*["12.5"] * 20, "$5"])[-1] is None


@pytest.mark.parametrize(
    ("values", "decimal", "warned"),
    [
        (["850", "1.250", "12.000"], None, True),
        (["850", "1.250", "12.000"], ".", False),
        (["850", "1.250", "12.5"], None, False),
        (["0.125", "1.250"], None, False),
        ([*["850"] * 100, "1.250"], None, False),
    ],
)
def test_a_dot_that_may_separate_thousands_is_reported(
    tmp_path: Path, values: list[str], decimal: Literal["."] | None, warned: bool
) -> None:
    lines = [f"u,i,2024-01-31,{value}" for value in values]
    (tmp_path / "t.csv").write_text("\n".join(["user_id,item_id,occurred_at,value", *lines]))
    source = open_source(SourceSettings(path=tmp_path / "t.csv", decimal=decimal))
    (reading,) = source.readings
    assert ["such as '1.250'" in warning for warning in reading.warnings] == [True] * warned
    assert pa.concat_tables(source.read(None, 200))["value"].to_pylist() == [float(value) for value in values]


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("day first", "02/01/2024", datetime(2024, 1, 2, tzinfo=UTC)),
        ("month first", "02/01/2024", datetime(2024, 2, 1, tzinfo=UTC)),
        ("year first", "24/02/01", datetime(2024, 2, 1, tzinfo=UTC)),
        ("%d|%m|%Y", "02|01|2024", datetime(2024, 1, 2, tzinfo=UTC)),
        ("seconds", "1706713445", TIMESTAMP),
        ("milliseconds", "1706713445000", TIMESTAMP),
        ("yyyymmdd", "20240131", datetime(2024, 1, 31, tzinfo=UTC)),
        ("excel", "45322", datetime(2024, 1, 31, tzinfo=UTC)),
    ],
)
def test_the_setting_decides(tmp_path: Path, setting: str, value: str, expected: datetime) -> None:
    assert column(tmp_path, "occurred_at", [value], time_format=setting) == [expected]


def test_a_setting_that_is_not_a_form(tmp_path: Path) -> None:
    for wrong in ("days", "%Q", "dd/mm/yyyy"):
        with pytest.raises(SourceError, match="is not a form of times"):
            column(tmp_path, "occurred_at", ["2024-01-31"], time_format=wrong)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["12,50"], [12.5]),
        (["1.234,56", "7", "1.234"], [1234.56, 7.0, 1234.0]),
        (["1,234.56", "7", "1,234"], [1234.56, 7.0, 1234.0]),
        (["1 234,50"], [1234.5]),
        (["1\u00a0234,50"], [1234.5]),
        (["1'234.50"], [1234.5]),
        (["-3,5", "+4"], [-3.5, 4.0]),
        (["12.5", "abc"], [12.5, None]),
        (["12,5", "abc"], [12.5, None]),
        (["1.234"], [1.234]),
        (["1e3", "2"], [1000.0, 2.0]),
    ],
)
def test_numbers(tmp_path: Path, values: list[str], expected: list[float | None]) -> None:
    assert column(tmp_path, "value", values) == expected


def test_the_decimal_that_is_named_counts(tmp_path: Path) -> None:
    assert column(tmp_path, "value", ["1,234"], decimal=",") == [1.234]
    assert column(tmp_path, "value", ["1,234"], decimal=".") == [1234.0]


def test_a_catalogue_has_forms_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,occurred_at\nu,27,2024-01-31\n")
    (tmp_path / "items.csv").write_text("item_id;price;first_seen_at\n27;1.234,50;31.01.2024\n")
    source = open_source(SourceSettings(path=tmp_path / "events.csv", items=str(tmp_path / "items.csv")))
    (item,) = source.items().to_pylist()
    assert (item["price"], item["first_seen_at"]) == (1234.5, datetime(2024, 1, 31, tzinfo=UTC))
    reading = next(reading for reading in source.readings if reading.table == "items")
    assert reading.facts["written as"] == {"price": "decimal comma", "first_seen_at": "day first"}


TIMESTAMPS = st.datetimes(datetime(1990, 1, 2), datetime(2024, 12, 31)).map(
    lambda at: at.replace(microsecond=0)
)
WRITTEN = [
    "%Y-%m-%dT%H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%d.%m.%Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%B %d, %Y %I:%M:%S %p",
    "%Y%m%d%H%M%S",
    "%a %b %d %H:%M:%S %Y",
]


@settings(deadline=None, max_examples=40)
@given(timestamps=st.lists(TIMESTAMPS, min_size=1, max_size=8), pattern=st.sampled_from(WRITTEN))
def test_what_strftime_writes_is_read_or_asked_for(
    tmp_path_factory: pytest.TempPathFactory, timestamps: list[datetime], pattern: str
) -> None:
    """Never read as another time."""
    folder = tmp_path_factory.mktemp("times")
    found: list[Any] | None
    try:
        found = column(folder, "occurred_at", [at.strftime(pattern) for at in timestamps])
    except SourceError:
        found = None
    if found is None:
        assert all(at.day <= 12 for at in timestamps)
        assert "/" in pattern
    else:
        assert found == [at.replace(tzinfo=UTC) for at in timestamps]


@settings(deadline=None, max_examples=25)
@given(
    seconds=st.lists(st.integers(631_152_000, 1_700_000_000), min_size=1, max_size=8),
    power=st.sampled_from([0, 3, 6, 9]),
)
def test_units_since_1970(tmp_path_factory: pytest.TempPathFactory, seconds: list[int], power: int) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    found = column(tmp_path_factory.mktemp("t"), "occurred_at", [str(each * 10**power) for each in seconds])
    assert found == [epoch + timedelta(seconds=each) for each in seconds]
