"""The source `table`: columns find their meaning, times their zone, and bad input is said plainly."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.lake import UNDATED
from tastemaker.data.sources import open_source, source_names
from tastemaker.errors import SourceError
from tastemaker.notebook.fit import split
from tastemaker.notebook.load import load
from tastemaker.settings import SourceSettings

MAPPING = {"user_id": "who", "item_id": "what", "occurred_at": "when", "value": "paid"}


def rows_of(path: Path, **options: Any) -> list[dict[str, Any]]:
    source = open_source(SourceSettings(name="table", path=path, **options))
    rows: list[dict[str, Any]] = pa.concat_tables(source.read(None, 1_000)).to_pylist()
    return rows


def written(folder: Path, text: str, name: str = "events.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("time", "zone", "expected"),
    [
        ("2024-01-05 12:00:00", "UTC", "2024-01-05T12:00:00+00:00"),
        ("2024-01-05 12:00:00", "Europe/Berlin", "2024-01-05T11:00:00+00:00"),
        ("2024-07-05 12:00:00", "Europe/Berlin", "2024-07-05T10:00:00+00:00"),
        ("2024-07-05T12:00:00Z", "Europe/Berlin", "2024-07-05T12:00:00+00:00"),
        ("2024-07-05T12:00:00.25+05:30", "UTC", "2024-07-05T06:30:00.250000+00:00"),
        ("2024-07-05", "America/New_York", "2024-07-05T04:00:00+00:00"),
        ("1720180800", "Europe/Berlin", "2024-07-05T12:00:00+00:00"),
        ("1720180800250", "UTC", "2024-07-05T12:00:00.250000+00:00"),
        ("yesterday", "UTC", None),
        ("infinity", "UTC", None),
        ("290000-01-01", "UTC", None),
        ("99999999999999999999", "UTC", None),
    ],
)
def test_times(tmp_path: Path, time: str, zone: str, expected: str | None) -> None:
    path = written(tmp_path, f"user_id,item_id,occurred_at\nu,i,{time}\n")
    (row,) = rows_of(path, timezone=zone)
    assert (row["occurred_at"] and row["occurred_at"].isoformat()) == expected
    assert row["raw_occurred_at"] == time


@pytest.mark.slow
def test_what_is_not_mapped_is_filled_in(tmp_path: Path) -> None:
    path = written(tmp_path, "who,what,when,paid\nü ñ,日本,2024-01-05,2.5\nü ñ,日本,2024-01-05,abc\n")
    first, second = rows_of(path, columns=MAPPING)
    assert (first["user_id"], first["item_id"], first["value"]) == ("ü ñ", "日本", 2.5)
    assert (second["value"], second["raw_paid"]) == (None, "abc")
    assert first["event_type"] == "purchase"
    (bare, _) = rows_of(path, columns={k: v for k, v in MAPPING.items() if k != "value"})
    assert bare["value"] == 1.0
    (click, _) = rows_of(path, columns=MAPPING, options={"event_type": "it's a click"})
    assert click["event_type"] == "it's a click"


@pytest.mark.slow
def test_ids_made_from_content_are_stable_and_distinct(tmp_path: Path) -> None:
    """Rows added below change no id above; the same content twice is two events."""
    text = "user_id,item_id,occurred_at\nu,i,2024-01-05\nu,i,2024-01-05\nv,i,2024-01-05\n"
    before = [row["event_id"] for row in rows_of(written(tmp_path, text))]
    after = [row["event_id"] for row in rows_of(written(tmp_path, text + "u,i,2024-01-05\n"))]
    assert len(set(after)) == 4
    assert after[:3] == before


@pytest.mark.slow
def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    """Naive and zoned timestamps, whole numbers that became floating point, and numbers as ids."""
    timestamp = datetime(2024, 7, 5, 12)
    table = pa.table(
        {
            "user_id": pa.array([17850.0, None]),
            "item_id": pa.array([5, 6], pa.int64()),
            "occurred_at": pa.array([timestamp, timestamp], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, tmp_path / "naive.parquet")
    rows = rows_of(tmp_path / "naive.parquet", timezone="Europe/Berlin")
    assert [(row["user_id"], row["item_id"]) for row in rows] == [("17850", "5"), (None, "6")]
    assert rows[0]["occurred_at"] == datetime(2024, 7, 5, 10, tzinfo=UTC)
    zoned = pa.array([timestamp.replace(tzinfo=UTC)] * 2, pa.timestamp("ms", tz="Asia/Tokyo"))
    pq.write_table(table.set_column(2, "occurred_at", zoned), tmp_path / "zoned.parquet")
    assert rows_of(tmp_path / "zoned.parquet")[0]["occurred_at"] == timestamp.replace(tzinfo=UTC)


@pytest.mark.slow
def test_days_are_read_alone_and_in_order(tmp_path: Path) -> None:
    days = [5, 3, 9, 3, 5, 5]
    lines = "".join(f"u{n},i,2024-01-0{day}\n" for n, day in enumerate(days)) + "u,i,never\n"
    path = written(tmp_path, "user_id,item_id,occurred_at\n" + lines)
    source = open_source(SourceSettings(name="table", path=path))
    assert list(source.days()) == [UNDATED, date(2024, 1, 3), date(2024, 1, 5), date(2024, 1, 9)]
    chunks = list(source.read({date(2024, 1, 9), date(2024, 1, 3)}, 2))
    assert [row["user_id"] for chunk in chunks for row in chunk.to_pylist()] == ["u1", "u3", "u2"]
    assert max(map(len, chunks)) <= 2
    all_users = pa.concat_tables(source.read(None, 2)).column("user_id").to_pylist()
    assert all_users == ["u", "u1", "u3", "u0", "u4", "u5", "u2"]


@pytest.mark.slow
def test_a_days_digest_changes_with_its_rows_alone(tmp_path: Path) -> None:
    head, first, second = "user_id,item_id,occurred_at,value\n", "u,i,2024-01-03,1\n", "v,i,2024-01-04,1\n"
    digests = [
        open_source(SourceSettings(name="table", path=written(tmp_path, text))).days()
        for text in (head + first + second, head + second + first, head + first + second.replace(",1", ",2"))
    ]
    assert digests[0] == digests[1]
    assert digests[0][date(2024, 1, 3)] == digests[2][date(2024, 1, 3)]
    assert digests[0][date(2024, 1, 4)] != digests[2][date(2024, 1, 4)]


def test_items_and_users_from_their_own_files(tmp_path: Path) -> None:
    events = written(tmp_path, "user_id,sku,occurred_at\nu,a,2024-01-03\n")
    items = written(tmp_path, "sku,name,price\na,Äpfel,1.5\nb,,x\n", "items.csv")
    mapping = {"item_id": "sku", "title": "name"}
    source = open_source(SourceSettings(name="table", path=events, items=str(items), columns=mapping))
    empty = dict.fromkeys(("category", "first_seen_at", "own"))
    assert source.items().to_pylist() == [
        {"item_id": "a", "title": "Äpfel", "price": 1.5, **empty},
        {"item_id": "b", "title": None, "price": None, **empty},
    ]
    assert source.users().num_rows == 0


@pytest.mark.parametrize("kind", ["items", "users"])
@pytest.mark.parametrize(("name", "text"), [("t.csv", "{key}\n"), ("t.parquet", "")])
def test_a_named_table_without_rows_is_refused(tmp_path: Path, kind: str, name: str, text: str) -> None:
    """An export that failed would take the categories from all items, and with them what is blocked."""
    events = written(tmp_path, "user_id,item_id,occurred_at\nu,a,2024-01-03\n")
    key = f"{kind[:-1]}_id"
    if text:
        table = written(tmp_path, text.format(key=key), name)
    else:
        table = tmp_path / name
        pq.write_table(pa.table({key: pa.array([], pa.string())}), table)
    source = open_source(SourceSettings.model_validate({"path": events, kind: str(table)}))
    with pytest.raises(SourceError, match=f"has no rows: what is known of {kind}") as caught:
        getattr(source, kind)()
    assert f"source.{kind}" in str(caught.value)


PEOPLE = """who,land,Segment,is business,über uns,email
a,FR, gold ,true,"x, ""y"" ",a@x
b,,,false,ß,b@x
"""


def people(tmp_path: Path, **settings: Any) -> list[dict[str, str | None] | None]:
    """The own columns of the users in PEOPLE."""
    events = written(tmp_path, "who,what,when\nu,a,2024-01-03\n")
    users = str(written(tmp_path, PEOPLE, "users.csv"))
    columns = {key: MAPPING[key] for key in ("user_id", "item_id", "occurred_at")} | settings.pop(
        "columns", {}
    )
    source = open_source(SourceSettings(name="table", path=events, users=users, columns=columns, **settings))
    return [None if row is None else dict(row) for row in source.users()["own"].to_pylist()]


@pytest.mark.slow
def test_own_columns_of_users_are_kept_where_they_are_named(tmp_path: Path) -> None:
    assert people(tmp_path) == [None, None]
    named = {"columns": {"business": "is business"}, "user_columns": ("Segment", "business", "über uns")}
    assert people(tmp_path, **named) == [
        {"Segment": "gold", "business": "true", "über uns": 'x, "y"'},
        {"Segment": None, "business": "false", "über uns": "ß"},
    ]


def test_own_columns_of_any_type_become_text(tmp_path: Path) -> None:
    timestamp = datetime(2024, 7, 5, 12)
    table = pa.table(
        {
            "user_id": ["a", "b"],
            "whole": pa.array([34.0, None]),
            "share": pa.array([0.25, float("nan")]),
            "count": pa.array([3, None], pa.int16()),
            "yes": pa.array([True, None]),
            "day": pa.array([timestamp.date(), None]),
            "at": pa.array([timestamp, None]),
            "kind": pa.array(["é", " "]).dictionary_encode(),
            "value": pa.array([1, 2]),
        }
    )
    pq.write_table(table, tmp_path / "users.parquet")
    events = written(tmp_path, "user_id,item_id,occurred_at,paid\nu,i,2024-01-05,2\n")
    named = tuple(name for name in table.column_names if name != "user_id")
    users = open_source(
        SourceSettings(
            name="table",
            path=events,
            users=str(tmp_path / "users.parquet"),
            columns={"value": "paid"},
            user_columns=named,
        )
    ).users()
    first, second = (dict(row) for row in users["own"].to_pylist())
    texts = ("34", "0.25", "3", "true", "2024-07-05", "2024-07-05 12:00:00", "é", "1")
    assert first == dict(zip(named, texts, strict=True))
    assert second == dict.fromkeys(named) | {"value": "2"}, "a column of events has no say in the users' own"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"user_columns": ("segment", "plan")},
            r"users.csv has no column segment, plan, which source.user_col",
        ),
        ({"user_columns": ("Segment", "Segment")}, "names 'Segment' twice"),
        ({"user_columns": ("country",)}, "names 'country', which the table users has anyway"),
        ({"user_columns": ("items",)}, "names 'items', which is the name of other slices"),
        ({"user_columns": ("who",)}, "names 'who', which holds the user ids"),
        ({"user_columns": ("me",), "columns": {"me": "who"}}, "names 'who', which holds the user ids"),
        ({"columns": {"Segment": "Segment"}}, "maps Segment, which is not a canonical column"),
    ],
)
def test_own_columns_that_can_not_be_kept(tmp_path: Path, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SourceError, match=problem) as caught:
        people(tmp_path, **settings)
    assert caught.value.fix


@pytest.mark.parametrize("name", ["table", "simulated", "online_retail"])
def test_own_columns_without_a_table_of_users(tmp_path: Path, name: str) -> None:
    events = written(tmp_path, "user_id,item_id,occurred_at\nu,a,2024-01-03\n")
    with pytest.raises(SourceError, match=r"source\.user_columns names plan, but") as caught:
        open_source(SourceSettings(name=name, path=events, user_columns=("plan",)))
    assert "users" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("text", "name", "options", "problem"),
    [
        (None, "no.csv", {}, "there is no file"),
        ("", "events.csv", {}, "0 bytes"),
        ("user_id,item\nu,i\n", "events.csv", {}, "has no column item_id, occurred_at; it has user_id"),
        (
            "USER_ID,Item Id,occurred_at\nu,i,1\n",
            "events.csv",
            {},
            'user_id = "USER_ID", item_id = "Item Id"',
        ),
        ("u1,i1,2024-01-31\n", "events.csv", {}, "the first line must be the header: put column names"),
        ("user_id^item_id^occurred_at\n", "events.csv", {}, "another character parts the fields"),
        ("user_id\nu\n", "events.csv", {"columns": MAPPING}, "no column user_id (as who), item_id (as what)"),
        ("not parquet", "events.parquet", {}, "can't be read as a table"),
        ("not a workbook", "events.xlsx", {}, "can't be read as a table"),
        ("x", "events.docx", {}, "is of no known kind"),
        ("user_id,item_id,occurred_at\n", "events.csv", {"timezone": "Mars"}, "which is not a time zone"),
        ("user_id,item_id,occurred_at\n", "events.csv", {"options": {"sise": 1}}, "no option sise"),
    ],
)
def test_bad_input_is_named(
    tmp_path: Path, text: str | None, name: str, options: Mapping[str, Any], problem: str
) -> None:
    path = tmp_path / name if text is None else written(tmp_path, text, name)
    with pytest.raises(SourceError) as caught:
        rows_of(path, **options)
    assert problem in str(caught.value)
    assert caught.value.fix


def test_unknown_source() -> None:
    with pytest.raises(SourceError, match="no source named 'orcale'") as caught:
        open_source(SourceSettings(name="orcale"))
    assert source_names() == ["online_retail", "simulated", "sql", "table"]
    assert "online_retail, simulated, sql, table" in str(caught.value.fix)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    timestamps=st.lists(
        st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
        min_size=1,
        max_size=20,
    )
)
def test_days_hold_every_row_once(
    tmp_path_factory: pytest.TempPathFactory, timestamps: list[datetime]
) -> None:
    path = tmp_path_factory.mktemp("t") / "events.parquet"
    n = len(timestamps)
    users = [str(i) for i in range(n)]
    pq.write_table(pa.table({"user_id": users, "item_id": ["i"] * n, "occurred_at": timestamps}), path)
    source = open_source(SourceSettings(name="table", path=path))
    found = []
    for day in source.days():
        for chunk in source.read([day], 3):
            assert {time.date() for time in chunk.column("occurred_at").to_pylist()} == {day}
            found += chunk.column("user_id").to_pylist()
    assert sorted(found) == sorted(users)


GOODS = """item_id,title,category,brand,description,grams
a,Red mug,ware,Ö,"Large, with
a handle",300
b,,,,,
"""


@pytest.mark.slow
def test_own_columns_of_items_reach_the_model(tmp_path: Path) -> None:
    """Through the file, the gate and the split; what is not named is not kept."""
    lines = [f"u{n % 3},{'ab'[n % 2]},2024-01-{n + 1:02}" for n in range(20)]
    events = written(tmp_path, "\n".join(["user_id,item_id,occurred_at", *lines]))
    goods = written(tmp_path, GOODS, "goods.csv")
    data = load(
        events,
        items=goods,
        item_columns=["description", "grams", "maker"],
        columns={"maker": "brand"},
    )
    items = split(data, test_days=5).split.train.items
    assert items.columns == ("title", "category", "price", "description", "grams", "maker")
    assert items.titles == ("Red mug", "")
    assert items.text("description") == ("Large, with\na handle", "")
    assert items.text("maker") == ("Ö", "")
    np.testing.assert_array_equal(items.column("grams"), [300, np.nan])


@pytest.mark.slow
def test_a_list_in_a_table_in_memory_reaches_the_model_as_a_vector() -> None:
    timestamps = [datetime(2024, 1, 1 + n) for n in range(20)]
    events = pa.table(
        {"user_id": [f"u{n % 3}" for n in range(20)], "item_id": ["a", "b"] * 10, "occurred_at": timestamps}
    )
    vectors = pa.array([[0.1, -2.5e-9], None], pa.list_(pa.float32()))
    items = pa.table({"item_id": ["a", "b"], "embedding": vectors})
    known = split(load(events, items=items, item_columns="embedding"), test_days=5).split.train.items
    np.testing.assert_array_equal(
        known.vectors("embedding"), np.array([[0.1, -2.5e-9], [np.nan, np.nan]], np.float32)
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"item_columns": ("colour",)}, r"goods.csv has no column colour, which source.item_columns names"),
        ({"item_columns": ("brand", "brand")}, "source.item_columns names 'brand' twice"),
        ({"item_columns": ("title",)}, "names 'title', which the table items has anyway"),
        ({"item_columns": ("item_id",)}, "names 'item_id', which the table items has anyway"),
        ({"item_columns": ("sku",), "columns": {"sku": "item_id"}}, "'item_id', which holds the item ids"),
    ],
)
def test_own_columns_of_items_that_can_not_be_kept(
    tmp_path: Path, settings: dict[str, Any], problem: str
) -> None:
    events = written(tmp_path, "user_id,item_id,occurred_at\nu,a,2024-01-03\n")
    goods = str(written(tmp_path, GOODS, "goods.csv"))
    with pytest.raises(SourceError, match=problem):
        open_source(SourceSettings(name="table", path=events, items=goods, **settings)).items()


@pytest.mark.parametrize("name", ["table", "simulated", "online_retail"])
def test_own_columns_without_a_table_of_items(tmp_path: Path, name: str) -> None:
    events = written(tmp_path, "user_id,item_id,occurred_at\nu,a,2024-01-03\n")
    with pytest.raises(SourceError, match=r"source\.item_columns names brand, but") as caught:
        open_source(SourceSettings(name=name, path=events, item_columns=("brand",)))
    assert "items" in str(caught.value.fix)
