"""What callers change: kept, read by others, bounded, and never in the way of an answer."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tastemaker.event_log.records import ItemRecord, UserRecord
from tastemaker.serving.writes import catalog_overrides
from tastemaker.serving.writes.catalog_overrides import (
    FILE_NAME,
    NEW_ITEM_SECONDS,
    CatalogOverrides,
    OverridesError,
    put,
)
from tastemaker.snapshot.item_content import Listed

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """It is NOW, until a test says how much later it is."""
    timestamp = [NOW]
    monkeypatch.setattr(time, "time", lambda: timestamp[0])

    def later(seconds: float) -> None:
        timestamp[0] += seconds

    return later


def unknown(ids: Sequence[str]) -> np.ndarray:
    """The version knows what begins with 'old'."""
    return np.array([not item_id.startswith("old") for item_id in ids], np.bool_)


def item(item_id: str, **known: object) -> ItemRecord:
    return ItemRecord(item_id, NOW, **known)  # type: ignore[arg-type]


def read(folder: Path) -> CatalogOverrides:
    reader = CatalogOverrides(folder, unknown)
    reader.refresh()
    return reader


def test_what_is_put_is_read_also_after_a_restart(tmp_path: Path) -> None:
    put(tmp_path, [item("new ✓", title="Lamp", category="lights", price=3.5), item("old-1", available=False)])
    put(tmp_path, [UserRecord("ann", NOW, "NL", ["old-2", "old-3"])])
    reader = read(tmp_path)
    assert reader.sold_out == {"old-1"}
    assert reader.new["new ✓"].listed == reader.listed("new ✓") == Listed("Lamp", "lights", 3.5)
    assert "old-1" not in reader.new
    assert reader.blocked(["ann", "bob", "ann"]) == {"ann": ["old-2", "old-3"]}
    assert reader.listed("unknown") is None


def test_the_last_word_counts(tmp_path: Path) -> None:
    reader = read(tmp_path)
    for available in (False, True, False, True):
        put(tmp_path, [item("new-1", available=available, title=str(available))])
        reader.refresh(at_once=True)
        assert ("new-1" in reader.new, "new-1" in reader.sold_out) == (available, not available)
    put(tmp_path, [UserRecord("ann", NOW, None, ["a"]), UserRecord("ann", NOW, "NL", None)])
    reader.refresh(at_once=True)
    assert reader.blocked(["ann"]) == {}


def test_the_state_changes_with_what_is_read_only(tmp_path: Path) -> None:
    reader = read(tmp_path)
    assert reader.state == 0
    put(tmp_path, [item("new-1")])
    reader.refresh(at_once=True)
    state = reader.state
    assert state > 0
    reader.refresh(at_once=True)
    assert reader.state == state


def test_others_are_looked_at_every_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timestamp = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: timestamp[0])
    reader = read(tmp_path)
    put(tmp_path, [item("old-1", available=False)])
    reader.refresh()
    assert not reader.sold_out
    timestamp[0] += catalog_overrides.OVERRIDES_POLL_SECONDS
    reader.refresh()
    assert reader.sold_out == {"old-1"}


def test_an_item_is_new_for_a_month(tmp_path: Path, clock: Callable[[float], None]) -> None:
    put(tmp_path, [item("new-1"), item("old-9")])
    reader = read(tmp_path)
    assert list(reader.new) == ["new-1"]
    clock(NEW_ITEM_SECONDS + 1)
    put(tmp_path, [ItemRecord("new-1", NOW + NEW_ITEM_SECONDS + 1, "another title"), item("old-9")])
    reader.refresh(at_once=True)
    assert not reader.new
    assert not read(tmp_path).new


def test_only_the_latest_new_items_are_kept_in_mind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_overrides, "MAX_NEW", 10)
    put(tmp_path, [ItemRecord(f"new-{n:03d}", NOW + n) for n in range(50)])
    put(tmp_path, [ItemRecord(f"old-{n:03d}", NOW + 100) for n in range(50)])
    assert sorted(read(tmp_path).new) == [f"new-{n:03d}" for n in range(40, 50)]


@pytest.mark.processes
@pytest.mark.slow
def test_another_process_may_write_meanwhile(tmp_path: Path) -> None:
    reader = read(tmp_path)
    code = """
import sys, json
from pathlib import Path
from tastemaker.event_log.records import ItemRecord
from tastemaker.serving.writes.catalog_overrides import put
for n in range(30):
    put(Path(sys.argv[1]), [ItemRecord(f"{sys.argv[2]}-{n}", json.loads(sys.argv[3]), available=False)])
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name, json.dumps(NOW)]) for name in "ab"
    ]
    while any(writer.poll() is None for writer in writers):
        reader.refresh(at_once=True)
    assert [writer.returncode for writer in writers] == [0, 0]
    reader.refresh(at_once=True)
    assert reader.sold_out == {f"{name}-{n}" for name in "ab" for n in range(30)}


def test_a_file_that_cant_be_read_takes_nothing_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, [item("old-1", available=False), UserRecord("ann", NOW, None, ["a"])])
    reader = read(tmp_path)
    reader.close()
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    for _ in range(3):
        reader.refresh(at_once=True)
        assert reader.blocked(["ann"]) == {}
    assert reader.sold_out == {"old-1"}
    assert len([line for line in caplog.messages if "can't be read" in line]) == 1


def moved_away(folder: Path) -> None:
    """Alone, as `mv` does it: SQLite's log and its index stay."""
    (folder / FILE_NAME).rename(folder / "old.db")


def test_a_file_that_takes_the_place_of_another_is_the_state(tmp_path: Path) -> None:
    """It numbers its changes from 1 again."""
    put(tmp_path, [item(f"old-{n}", available=False) for n in range(9)])
    put(tmp_path, [item("new-1"), UserRecord("ann", NOW, None, ["a"])])
    reader = read(tmp_path)
    moved_away(tmp_path)
    state = reader.state
    reader.refresh(at_once=True)
    assert (len(reader.sold_out), list(reader.new), reader.state) == (9, ["new-1"], state), "it is missing"
    assert reader.blocked(["ann"]) == {"ann": ["a"]}
    put(tmp_path, [item("old-3", available=False), item("new-2"), UserRecord("bob", NOW, None, ["b"])])
    reader.refresh(at_once=True)
    assert (set(reader.sold_out), list(reader.new)) == ({"old-3"}, ["new-2"])
    assert reader.state > state
    assert reader.blocked(["ann", "bob"]) == {"bob": ["b"]}
    state = reader.state
    put(tmp_path, [item("old-4", available=False)])
    reader.refresh(at_once=True)
    assert (set(reader.sold_out), list(reader.new)) == ({"old-3", "old-4"}, ["new-2"])
    assert reader.state > state
    assert reader.trouble is None


def test_what_was_read_counts_until_the_file_in_its_place_can_be_read(tmp_path: Path) -> None:
    put(tmp_path, [item("old-1", available=False), item("new-1")])
    reader = read(tmp_path)
    moved_away(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    reader.refresh(at_once=True)
    assert (set(reader.sold_out), list(reader.new)) == ({"old-1"}, ["new-1"])
    assert "can't be read" in str(reader.trouble)
    (tmp_path / FILE_NAME).unlink()
    reader.refresh(at_once=True)
    assert (set(reader.sold_out), list(reader.new)) == ({"old-1"}, ["new-1"])
    put(tmp_path, [UserRecord("ann", NOW, None, ["a"])])
    reader.refresh(at_once=True)
    assert (len(reader.sold_out), len(reader.new), reader.trouble) == (0, 0, None)


def test_a_file_moved_back_is_read_from_its_beginning(tmp_path: Path) -> None:
    put(tmp_path, [item("old-1", available=False)])
    reader = read(tmp_path)
    moved_away(tmp_path)
    put(tmp_path, [item("old-2", available=False)])
    reader.refresh(at_once=True)
    assert reader.sold_out == {"old-2"}
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    (tmp_path / "old.db").rename(tmp_path / FILE_NAME)
    reader.refresh(at_once=True)
    assert reader.sold_out == {"old-1"}


@pytest.mark.processes
@pytest.mark.slow
def test_changes_of_several_writers_go_into_a_new_file_if_that_was_moved_away_while_it_was_read(
    tmp_path: Path,
) -> None:
    """Writers that find it missing at once create it once: none removes the log of another's file."""
    put(tmp_path, [item(f"old-{n}", available=False) for n in range(3_000)])
    reader = read(tmp_path)
    code = """
import sys, json
from pathlib import Path
from tastemaker.event_log.records import ItemRecord
from tastemaker.serving.writes.catalog_overrides import put
print("ready", flush=True)
for _ in sys.stdin:
    put(Path(sys.argv[1]), [ItemRecord(sys.argv[2], json.loads(sys.argv[3]), available=False)])
    print("done", flush=True)
"""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), name, json.dumps(NOW)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in "abc"
    ]  # fmt: skip

    def answers() -> list[str]:
        return [writer.stdout.readline() for writer in writers if writer.stdout is not None]

    assert answers() == ["ready\n"] * 3
    for _ in range(20):
        moved_away(tmp_path)
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        assert answers() == ["done\n"] * 3
        reader.refresh(at_once=True)
        assert reader.sold_out == {"a", "b", "c"}
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0


def test_a_reader_waits_for_no_writer(tmp_path: Path) -> None:
    put(tmp_path, [item("old-1", available=False), UserRecord("ann", NOW, None, ["a"])])
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        reader, start = read(tmp_path), time.perf_counter()
        reader.refresh(at_once=True)
        assert reader.blocked(["ann"]) == {"ann": ["a"]}
        assert time.perf_counter() - start < catalog_overrides.WRITER_WAIT_SECONDS
    assert reader.sold_out == {"old-1"}


def test_what_cant_be_written_is_refused_whole(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(OverridesError, match=FILE_NAME):
        put(tmp_path, [item("new-1")])


def test_without_a_folder_or_a_file_nothing_was_changed(tmp_path: Path) -> None:
    for reader in (CatalogOverrides(None, unknown), read(tmp_path)):
        reader.refresh(at_once=True)
        assert not reader.sold_out
        assert not reader.new
        assert reader.blocked(["ann"]) == {}
        assert reader.listed("x") is None
    assert not list(tmp_path.iterdir())
