"""Files of tables: encodings, kinds and packing are found out or asked for, and no row is lost or shifted."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from tastemaker.data.lake_files import open_duckdb
from tastemaker.data.tabular import Table, read_table
from tastemaker.data.tabular import text as text_module
from tastemaker.errors import SourceError

Rows = list[tuple[Any, ...]]

ACCENTS = "id,name\n1,café\n2,thé à la menthe\n3,Größe\n"
ANY = "id,name\n1,café\n2,日本\n3,чашка\n"


def opened(path: Path, **options: str | None) -> tuple[Table, Rows]:
    """The table, whose relation can no longer be used, and its rows."""
    folder = path.parent / "copies"
    folder.mkdir(exist_ok=True)
    with open_duckdb() as connection:
        table = read_table(connection, path, folder, **options)
        try:
            return table, table.rows.fetchall()
        except duckdb.Error as error:
            raise table.explain(error) from error


def written(tmp_path: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def expected(text: str) -> Rows:
    return [tuple(line) for line in csv.reader(text.splitlines()[1:])]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_every_kind_of_unicode(tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a chunk ends within a character."""
    monkeypatch.setattr(text_module, "CHUNK_BYTES", 64)
    text = ANY + "4,日本語\n" * 50
    table, rows = opened(written(tmp_path, text.encode(encoding)))
    assert rows == expected(text)
    assert table.facts["encoding"].startswith(encoding.removesuffix("-sig"))
    assert table.warnings == ()


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", ACCENTS),
        ("latin-1", ACCENTS),
        ("cp1251", "id,name\n1,чашка\n2,книга для детей\n3,зеленый чай\n"),
        ("koi8_r", "id,name\n1,чашка\n2,книга для детей\n3,зеленый чай\n4,молоко\n"),
        ("cp1250", "id,name\n1,žluťoučký kůň\n2,řeřicha\n3,děti\n"),
        ("cp1253", "id,name\n1,φλιτζάνι\n2,βιβλίο\n3,καφές\n"),
        ("shift_jis", "id,name\n1,お茶\n2,日本の本\n3,緑のカップ\n"),
        ("gb18030", "id,name\n1,绿茶\n2,图书\n3,红色杯子\n"),
    ],
)
def test_other_encodings_are_detected_and_the_guess_is_shown(
    tmp_path: Path, encoding: str, text: str
) -> None:
    table, rows = opened(written(tmp_path, text.encode(encoding)))
    assert rows == expected(text)
    (warning,) = table.warnings
    assert text.splitlines()[1] in warning
    assert table.facts["encoding"] in warning
    assert "source.encoding" in warning


def test_a_named_encoding_is_not_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, ACCENTS.encode("cp850"))
    assert opened(path, encoding="cp850")[1] == expected(ACCENTS)
    with pytest.raises(SourceError, match=r"line 2, byte 6 of the line: 0x82 can't be read as utf-8"):
        opened(path, encoding="utf-8")
    with pytest.raises(SourceError, match="'klingon', which names no encoding"):
        opened(path, encoding="klingon")


@pytest.mark.parametrize("bad", [b"\xe9", b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_a_bad_byte_in_a_file_of_utf8_is_named_and_not_read_otherwise(tmp_path: Path, bad: bytes) -> None:
    lines = [b"id,name", *(f"{n},é".encode() for n in range(500))]
    lines[321] = b"320,caf" + bad
    with pytest.raises(SourceError, match=f"line 322, byte 8 of the line: 0x{bad[0]:02X} ") as caught:
        opened(written(tmp_path, b"\n".join(lines)))
    assert "encoding" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a,b\n1,2\n3\n4,5,6\n",
            r"line 3: 1 fields, while the header has 2; 1 more lines differ: line 4 \(3\)",
        ),
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 fields, while the header has 2"),
        ('a,b\n1,"x\n3,4\n', r'line 2: a quote \("\) opens a field'),
        ('a,b\n1,"x" y\n', r'line 2: a quote \("\) opens a field'),
        ('a,b\n1,"x\ny"\n\n3\n', "line 5: 1 fields"),
        ("\n\n", "has no header line"),
    ],
)
def test_what_is_not_a_table_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        opened(written(tmp_path, text))


def test_mixed_line_ends_are_read_and_named(tmp_path: Path) -> None:
    table, rows = opened(written(tmp_path, 'a,b\r\n1,"x\ny"\n3,4\r\n5,6\r7,8\n'))
    assert rows == [("1", "x\ny"), ("3", "4"), ("5", "6"), ("7", "8")]
    assert "CR LF on line 1, LF on line 3, CR on line 5" in table.warnings[0]
    table, rows = opened(written(tmp_path, 'a,b\r\n1,"x\ny"\r\n'))
    assert (rows, table.warnings) == ([("1", "x\ny")], ())


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=15),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, delimiter: str, encoding: str, end: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["first", "second", "third"])
    writer.writerows(rows)
    path = written(tmp_path_factory.mktemp("t"), text.getvalue().encode(encoding))
    found = opened(path, delimiter=delimiter)[1]
    assert found == [tuple(cell or None for cell in row) for row in rows]
    assert opened(path)[0].facts["delimiter"] in ("comma", "semicolon", "tab", "bar")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b;c\n1;1,5;x, y\n2;2,5;z\n", "semicolon"),
        ("a\tb\n1,5\t2\n", "tab"),
        ("a|b\n1|2;3;4\n", "bar"),
        ("sep=;\na;b\n1;2\n", "semicolon"),
        ('a,b\n"x;y;z",2\n"u;v;w",3\n', "comma"),
        ("name, price;sku\nx;1\n", "semicolon"),
    ],
)
def test_the_delimiter_is_found(tmp_path: Path, text: str, delimiter: str) -> None:
    table, _ = opened(written(tmp_path, text, "t.txt"))
    assert table.facts["delimiter"] == delimiter


def test_json_in_any_form_is_text(tmp_path: Path) -> None:
    objects = [{"id": 27, "price": 1.5, "more": {"x": [1]}}, {"id": "27", "note": None}]
    lines = "\n".join(map(json.dumps, objects))
    wanted = [("27", "1.5", '{"x":[1]}', None), ("27", None, None, None)]
    for name, content in (
        ("a.json", json.dumps(objects).encode()),
        ("a.jsonl", lines.encode()),
        ("a.ndjson", lines.encode("utf-16")),
        ("marked.json", json.dumps(objects).encode("utf-8-sig")),
        ("marked.jsonl", lines.encode("utf-8-sig")),
    ):
        assert opened(written(tmp_path, content, name))[1] == wanted


def test_packed_files_hold_one_table(tmp_path: Path) -> None:
    content = ANY.encode("utf-16")
    packed = {"t.csv.gz": gzip.compress(content), "t.gz": gzip.compress(content)}
    packed |= {"t.csv.bz2": bz2.compress(content), "t.csv.xz": lzma.compress(content)}
    for name, data in packed.items():
        assert opened(written(tmp_path, data, name))[1] == expected(ANY)
    assert opened(zipped(tmp_path, {"a/t.csv": ANY, "__MACOSX/a/._t.csv": "x"}))[1] == expected(ANY)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a.csv": ANY, "b.csv": ANY}, "holds 2 tables, must hold one: it has a.csv, b.csv"),
        ({}, "holds 0 tables"),
    ],
)
def test_archives_of_other_numbers_of_tables(tmp_path: Path, members: dict[str, str], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        opened(zipped(tmp_path, members))


def zipped(tmp_path: Path, members: dict[str, str]) -> Path:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "is a .gz file, by its first bytes"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "can't be unpacked"),
        ("t.gz", b"a,b\n", "can't be unpacked"),
        ("t.zip", b"a,b\n", "can't be unpacked"),
        ("t.xls", b"\xd0\xcf\x11\xe0", "is of no known kind"),
        ("t.csv", b"", "0 bytes"),
        ("t.jsonl", b'{"a": 1}\n{"a"', "line"),
        ("t.json", b"[]", "holds no objects: it must be an array of objects"),
        ("t.json", b"[[1, 2], [3, 4]]", "holds no objects"),
        ("t.json", b'{"n": 1, "rows": [{"a": 1}]}', "one object, with arrays under rows"),
        ("t.json", b'{"a": [1, 2], "b": [3, 4]}', "one object, with arrays under a, b"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        opened(written(tmp_path, content, name))


def test_one_object_may_have_an_array_of_plain_values(tmp_path: Path) -> None:
    _, rows = opened(written(tmp_path, '{"id": "i1", "tags": ["a", "b"]}', "t.json"))
    assert rows == [("i1", '["a","b"]')]


def test_a_repeated_column_name_is_reported(tmp_path: Path) -> None:
    table, rows = opened(written(tmp_path, "a,b, A\n1,2,3\n"))
    assert rows == [("1", "2", "3")]
    assert table.warnings == (
        f"{tmp_path / 't.csv'} has more than one column a: the first is read under this name, the next as "
        "a_1. Check that the first is what you mean",
    )
    book = Workbook()
    for row in (["a", "b", "A"], [1, 2, 3]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    columns = [pa.array(["1"]), pa.array(["2"]), pa.array(["3"])]
    pq.write_table(pa.table(columns, names=["a", "b", "A"]), tmp_path / "t.parquet")
    for name in ("t.xlsx", "t.parquet"):
        table, rows = opened(tmp_path / name)
        assert rows == [("1", "2", "3")]
        assert "more than one column a" in table.warnings[0]


def test_the_first_visible_sheet_is_read_and_others_of_its_form_are_reported(tmp_path: Path) -> None:
    book = Workbook()
    hidden, january, february, notes = (book.active, *map(book.create_sheet, ("Jan", "Feb", "Notes")))
    hidden.sheet_state = "hidden"
    for sheet, rows in ((hidden, ["x"]), (january, ["id", 1]), (february, ["id", 2]), (notes, ["text"])):
        for value in rows:
            sheet.append([value])
    book.save(tmp_path / "t.xlsx")
    table, read = opened(tmp_path / "t.xlsx")
    assert read == [("1",)]
    assert table.facts == {"sheet": "Jan", "sheets not read": ["Feb", "Notes"]}
    (warning,) = table.warnings
    assert "the sheet Jan is read, and others with the same header are not: Feb." in warning


def test_of_a_sheet_the_saved_values_count(tmp_path: Path) -> None:
    """openpyxl computes nothing, so its formulas have no value; Excel saves values beside them."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["id", "value", None, "at"])
    sheet.append(["#N/A", "=1+1", "unnamed", datetime(2024, 1, 5, 10)])
    sheet.append([27.0, 2.5])
    sheet.append(["x", "#REF!"])
    book.create_sheet("Notes")
    book.save(tmp_path / "t.xlsx")
    table, rows = opened(tmp_path / "t.xlsx")
    assert rows == [(None, None, "2024-01-05 10:00:00"), ("27", "2.5", None), ("x", None, None)]
    assert table.facts == {"sheet": "Sheet", "sheets not read": ["Notes"]}
    assert "1 formulas" in table.warnings[0]
    assert "cell B2" in table.warnings[0]
    saved = _with_saved_value(tmp_path / "t.xlsx", tmp_path / "saved.xlsx")
    table, rows = opened(saved)
    assert rows[0][1] == "2"
    assert table.warnings == ()


def _with_saved_value(path: Path, target: Path) -> Path:
    """As Excel saves it: <f>1+1</f><v>2</v>."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                assert b"<f>1+1</f><v" in content
                content = content.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
                content = content.replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>")
            new.writestr(name, content)
    return target
