"""Ids <-> numbers: the round trip for any Unicode text, and what looks like an id but is none."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.snapshot.ids import IdIndex

ids = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=50)


@pytest.mark.slow
@given(st.lists(ids, max_size=50), st.lists(ids, max_size=20))
def test_round_trip_and_unknown_ids(known: list[str], others: list[str]) -> None:
    index = IdIndex.build(known)
    expected = sorted(set(known), key=lambda each: each.encode("utf-8", "surrogatepass"))
    assert index.decode(range(len(index))) == expected
    numbers = {each: number for number, each in enumerate(expected)}
    asked = known + others
    assert index.lookup(asked).tolist() == [numbers.get(each, -1) for each in asked]


@pytest.mark.parametrize("unknown", ["cup\0", "cups", "cu", "", "\0", "Cup", "cup\u0301", "cup" + "\0" * 9])
def test_similar_ids_are_unknown(unknown: str) -> None:
    assert IdIndex.build(["cup", "tea"]).lookup([unknown, "cup"]).tolist() == [-1, 0]


def test_an_empty_index_knows_no_id() -> None:
    assert IdIndex.build([]).lookup(["a"]).tolist() == [-1]
    assert len(IdIndex.build([])) == 0


def test_looking_up_no_id() -> None:
    assert IdIndex.build(["a"]).lookup([]).tolist() == []


def test_order_is_that_of_duckdb() -> None:
    duckdb = pytest.importorskip("duckdb")
    mixed = ["é", "z", "Ω", "𝄞", "a", "ア", "e\u0301", "Z", "0", " "]
    rows = duckdb.execute("SELECT unnest(?) AS id ORDER BY id", [mixed]).fetchall()
    assert IdIndex.build(mixed).decode(range(10)) == [row[0] for row in rows]


def test_nul_is_refused() -> None:
    with pytest.raises(TastemakerError, match="NUL"):
        IdIndex.build(["a\0b"])


@pytest.mark.parametrize("number", [-1, 2])
def test_decoding_an_unknown_number_raises(number: int) -> None:
    with pytest.raises(IndexError, match=f"number {number} is not an id"):
        IdIndex.build(["a", "b"]).decode([0, number])


def test_take_keeps_order() -> None:
    kept = np.array([True, False, True])
    assert IdIndex.build("abc").take(kept).decode([0, 1]) == ["a", "c"]


def test_saved_and_mapped(tmp_path: Path) -> None:
    IdIndex.build(string.ascii_letters).save(tmp_path / "ids.npy")
    index = IdIndex.load(tmp_path / "ids.npy")
    assert not index.encoded.flags.writeable
    assert index.decode(index.lookup(["q", "Q"])) == ["q", "Q"]


def test_loading_a_malformed_index_raises(tmp_path: Path) -> None:
    (tmp_path / "ids.npy").write_bytes(b"half")
    with pytest.raises(ArtifactError, match=r"ids\.npy"):
        IdIndex.load(tmp_path / "ids.npy")
