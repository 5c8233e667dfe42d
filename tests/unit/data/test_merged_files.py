"""Which files of the log are current follows from their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastemaker.data.lake_files import table_files
from tastemaker.data.merged_files import RecordRange, current_files, range_of

SPOOL, OTHER = "0123456789abcdef", "fedcba9876543210"


def part(first: int, last: int | None = None, spool: str = SPOOL, day: str = "day=2026-03-01") -> Path:
    """A file that a drain wrote, or a merge."""
    return Path("requests") / day / RecordRange(spool, first, last or first).name


@pytest.mark.parametrize("path", [part(1), part(1, 288), part(10**12), part(10**12, 10**13)])
def test_a_name_says_its_numbers(path: Path) -> None:
    numbers = range_of(path)
    assert numbers is not None
    assert numbers.name == path.name
    assert numbers.is_merged == (numbers.first < numbers.last)


@pytest.mark.parametrize(
    "name", ["part.parquet", "online_retail.parquet", f"served-{SPOOL}-1.parquet", f"{part(1).name}.tmp"]
)
def test_other_files_have_no_numbers_and_are_current(name: str) -> None:
    path = part(1).with_name(name)
    assert range_of(path) is None
    assert current_files([path, part(1, 9)]) == [path, part(1, 9)]


def test_a_merged_file_replaces_what_lies_within_its_numbers() -> None:
    files = [part(1), part(9), part(9, 30), part(9, 20), part(25), part(30), part(31)]
    assert current_files(files) == [part(1), part(9, 30), part(31)]


def test_a_file_of_another_day_or_spool_is_not_replaced() -> None:
    others = [part(5, spool=OTHER), part(5, day="day=2026-03-02")]
    assert current_files([part(1, 9), *others]) == [part(1, 9), *others]


def test_a_table_has_no_replaced_file(tmp_path: Path) -> None:
    for path in (part(1), part(2), part(1, 2), part(3)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert table_files(tmp_path, "requests") == [tmp_path / part(1, 2), tmp_path / part(3)]
