"""A trip of one process holds in all, for its epoch, whatever becomes of the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastemaker.experiments import tripped
from tastemaker.experiments.tripped import Trip, TripFiles

DEAD = Trip("popularity@1", "it can't be reached", 1_700_000_000.0)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tripped, "LOOK_SECONDS", 0.0)


def test_a_trip_of_one_process_is_seen_by_another(tmp_path: Path) -> None:
    one, other = TripFiles(tmp_path), TripFiles(tmp_path)
    assert other.current() == {}
    one.add("ranker", 0, "B", DEAD)
    one.add("ranker", 0, "C", DEAD)
    for files in (one, other):
        assert files.current()["ranker"].trips == {"B": DEAD, "C": DEAD}


def test_two_processes_that_trip_two_variants_keep_both(tmp_path: Path) -> None:
    one, other = TripFiles(tmp_path), TripFiles(tmp_path)
    one.add("ranker", 0, "B", DEAD)
    other.add("ranker", 0, "C", DEAD)
    assert set(one.current()["ranker"].trips) == {"B", "C"}


def test_a_new_epoch_begins_without_trips(tmp_path: Path) -> None:
    files = TripFiles(tmp_path)
    files.add("ranker", 0, "B", DEAD)
    files.add("ranker", 1, "C", DEAD)
    assert (files.current()["ranker"].epoch, set(files.current()["ranker"].trips)) == (1, {"C"})


def test_an_unreadable_file_trips_nothing_and_is_named(tmp_path: Path) -> None:
    (tmp_path / tripped.FOLDER).mkdir()
    (tmp_path / tripped.FOLDER / "ranker.json").write_text('{"experiment": "ran')
    files = TripFiles(tmp_path)
    assert files.current() == {}
    assert files.trouble is not None
    files.add("ranker", 0, "B", DEAD)
    assert "ranker" in files.current()
    assert files.trouble is None


def test_a_trip_holds_in_its_own_process_where_no_file_can_be_written(tmp_path: Path) -> None:
    (tmp_path / tripped.FOLDER).write_text("a file in the folder's place")
    files = TripFiles(tmp_path)
    files.add("ranker", 0, "B", DEAD)
    assert set(files.current()["ranker"].trips) == {"B"}
    assert files.trouble is not None
