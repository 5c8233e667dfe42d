"""One written form of an id: for Python and SQL alike, and for every table of a source."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.data.sources import open_source
from tastemaker.notebook.load import load
from tastemaker.settings import SourceSettings
from tastemaker.snapshot.canonical_ids import MISSING_IDS, IdForm, canonical, canonical_sql, is_missing

FORMS: tuple[IdForm, ...] = ("canonical", "numbers", "text")
PARTS = st.sampled_from(
    [
        *"0129.eE+-xN _",
        "00",
        ".0",
        "e+",
        "\u00a0",
        "\ufeff",
        "null",
        "nan",
        "é",
        "日",
        "\u0301",
        "\u200e",
        "1.5E7",
    ]
)


@pytest.mark.parametrize(
    ("written", "canonical_form", "numbers", "text"),
    [
        ("27", "27", "27", "27"),
        ("27.0", "27", "27", "27.0"),
        (" 27.00\u00a0", "27", "27", "27.00"),
        ("27.", "27", "27", "27."),
        ("00027", "00027", "27", "00027"),
        ("00027.0", "00027", "27", "00027.0"),
        ("000", "000", "0", "000"),
        ("27.5", "27.5", "27.5", "27.5"),
        ("1.785000000000000000e+04", "17850", "17850", "1.785000000000000000e+04"),
        ("1.79E+04", "1.79E+04", "1.79E+04", "1.79E+04"),
        ("1E5", "1E5", "1E5", "1E5"),
        ("9007199254740992.0", "9007199254740992", "9007199254740992", "9007199254740992.0"),
        ("9007199254740993.0", "9007199254740993.0", "9007199254740993.0", "9007199254740993.0"),
        ("9007199254740993", "9007199254740993", "9007199254740993", "9007199254740993"),
        ("\ufeff tea\u200b\n", "tea", "tea", "tea"),
        ("1.2.0", "1.2.0", "1.2.0", "1.2.0"),
        ("1.2345678E7", "12345678", "12345678", "1.2345678E7"),
        ("-1.25E9", "-1250000000", "-1250000000", "-1.25E9"),
        ("1.25E5", "1.25E5", "1.25E5", "1.25E5"),
        ("1.23456789E7", "1.23456789E7", "1.23456789E7", "1.23456789E7"),
        ("9.1E15", "9.1E15", "9.1E15", "9.1E15"),
        ("cafe\u0301", "caf\u00e9", "caf\u00e9", "cafe\u0301"),
        ("\u202a\u200etea\u00ad\u200d", "tea", "tea", "tea"),
        ("", "", "", ""),
    ],
)
def test_known_forms(written: str, canonical_form: str, numbers: str, text: str) -> None:
    assert [canonical(written, form) for form in FORMS] == [canonical_form, numbers, text]


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(ids=st.lists(st.lists(PARTS, max_size=6).map("".join), min_size=1, max_size=20))
def test_sql_and_python_agree(ids: list[str]) -> None:
    table = pa.table({"id": ids})
    with duckdb.connect() as connection:
        given_ids = connection.from_arrow(table)
        for form in FORMS:
            found = [row[0] for row in given_ids.project(canonical_sql("id", form, MISSING_IDS)).fetchall()]
            expected = [canonical(each, form) for each in ids]
            missing = [canonical(each, "text").lower() in MISSING_IDS for each in ids]
            assert found == [None if gone else each for gone, each in zip(missing, expected, strict=True)]
            assert [not each for each in found] == [is_missing(each) for each in ids]


@given(st.lists(PARTS, max_size=8).map("".join), st.sampled_from(FORMS))
def test_canonical_ids_are_unchanged(written: str, form: IdForm) -> None:
    once = canonical(written, form)
    assert canonical(once, form) == once


@pytest.mark.slow
@pytest.mark.parametrize(
    "word", ["NULL", "null", "NaN", "N/A", "#N/A", "None", "<NA>", "\\N", " nan ", "undefined"]
)
def test_words_for_missing_values_are_ids_only_if_the_settings_say_so(tmp_path: Path, word: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"user_id,item_id,occurred_at\n{word},i1,2024-01-01\nNullmann,i1,2024-01-01\n")
    for missing, expected in ((MISSING_IDS, None), ((), word.strip())):
        source = open_source(SourceSettings(path=path, missing_ids=missing))
        users = pa.concat_tables(source.read(None, 10)).column("user_id").to_pylist()
        assert users == [expected, "Nullmann"]


@pytest.mark.slow
def test_ids_are_the_same_from_all_file_formats(tmp_path: Path) -> None:
    """Integers in CSV, floating point in Parquet, and a data frame: the same items."""
    numbers = list(range(1, 41))
    events = tmp_path / "events.csv"
    lines = [f"u{n},{n},2024-01-01" for n in numbers]
    events.write_text("\n".join(["user_id,item_id,occurred_at", *lines]))
    pq.write_table(pa.table({"item_id": [float(n) for n in numbers]}), tmp_path / "floats.parquet")
    (tmp_path / "text.csv").write_text("\n".join(["item_id", *(f" {n}.00" for n in numbers)]))
    for items in (str(tmp_path / "floats.parquet"), str(tmp_path / "text.csv")):
        source = open_source(SourceSettings(path=events, items=items))
        assert set(source.items()["item_id"].to_pylist()) == set(map(str, numbers))
    frame = pd.DataFrame({"item_id": [float(n) for n in numbers]})
    assert len(load(str(events), items=frame).dataset.item_ids) == 40


@pytest.mark.slow
def test_inexact_numbers_are_recognized(tmp_path: Path) -> None:
    table = pa.table(
        {
            "user_id": pa.array([2.0**53, 2.0**53 + 2, 1e22, 12.0]),
            "item_id": pa.array([2.0**24, 2.0**24 + 2, 5.0, 6.5], pa.float32()),
            "occurred_at": ["2024-01-01"] * 4,
        }
    )
    pq.write_table(table, tmp_path / "events.parquet")
    rows = pa.concat_tables(open_source(SourceSettings(path=tmp_path / "events.parquet")).read(None, 10))
    exact = [("9007199254740992", "16777216"), ("5", "12", "6.5")]
    users, items = rows["user_id"].to_pylist(), rows["item_id"].to_pylist()
    assert [users[0], users[3]] == ["9007199254740992", "12"]
    assert [items[0], items[2], items[3]] == [exact[0][1], "5", "6.5"]
    assert all("e+" in each for each in (users[1], users[2], items[1]))


@pytest.mark.slow
def test_decimals_are_exact_and_infinity_is_missing(tmp_path: Path) -> None:
    """Decimals hold every digit, so that 12345678901234567890.00 is a whole number that nothing rounded."""
    digits = ["12345678901234567890.00", "27.00", "28.50"]
    table = pa.table(
        {
            "user_id": pa.array([Decimal(each) for each in digits], pa.decimal128(30, 2)),
            "item_id": pa.array([1.0, float("inf"), float("nan")]),
            "occurred_at": pa.array([1.7e9, float("nan"), float("-inf")]),
        }
    )
    pq.write_table(table, tmp_path / "events.parquet")
    source = open_source(SourceSettings(path=tmp_path / "events.parquet", missing_ids=()))
    rows = pa.concat_tables(source.read(None, 10)).sort_by("user_id")
    assert rows["user_id"].to_pylist() == ["12345678901234567890", "27", "28.50"]
    assert rows["item_id"].to_pylist() == ["1", None, None]
    assert [each is None for each in rows["occurred_at"].to_pylist()] == [False, True, True]
