"""Files of enrolled units: what is in them is found, and what is damaged is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support.experiment_plans import users
from tastemaker.errors import TastemakerError
from tastemaker.experiments.enrolled_units import EnrolledUnits, write_enrolled


def test_units_are_found_and_others_are_not(tmp_path: Path) -> None:
    ids = users(3_000)
    assert write_enrolled(tmp_path / "a.npy", "salt", [*ids[::2], *ids[:10:2]]) == 1_500
    found = EnrolledUnits(tmp_path / "a.npy", "salt")
    assert len(found) == 1_500
    assert [unit in found for unit in ids] == [place % 2 == 0 for place in range(3_000)]


def test_no_unit_may_be_enrolled(tmp_path: Path) -> None:
    assert write_enrolled(tmp_path / "a.npy", "salt", []) == 0
    assert "u1" not in EnrolledUnits(tmp_path / "a.npy", "salt")


def test_files_of_two_experiments_have_no_hash_in_common(tmp_path: Path) -> None:
    for salt in ("a", "b"):
        write_enrolled(tmp_path / f"{salt}.npy", salt, users(100))
    first, second = (np.load(tmp_path / f"{salt}.npy") for salt in ("a", "b"))
    assert not np.isin(first, second).any()


@pytest.mark.parametrize(
    "content",
    [
        np.arange(5, dtype=np.int64),
        np.arange(6, dtype=np.uint64).reshape(2, 3),
        np.array([3, 2, 9], np.uint64),
        np.array([2, 2], np.uint64),
    ],
)
def test_other_arrays_are_refused(content: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(TastemakerError, match="must be ascending 64-bit hashes"):
        EnrolledUnits(tmp_path / "a.npy", "salt")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    write_enrolled(path, "salt", users(100))
    whole = path.read_bytes()
    for content in (b"", whole[:50], whole[:-1], b"x" * 500):
        path.write_bytes(content)
        with pytest.raises(TastemakerError, match="can't be read"):
            EnrolledUnits(path, "salt")
    path.unlink()
    with pytest.raises(TastemakerError, match="can't be read"):
        EnrolledUnits(path, "salt")
