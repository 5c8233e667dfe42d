"""A service notices that its watch has stopped, and says nothing where none ever ran."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tastemaker.serving.runtime.watch_status import WatchStatus
from tastemaker.util.beat_file import FILE_NAME, read_beat, write_beat


def test_a_beat_that_is_too_old_is_a_trouble_until_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = [1_764_424_930.0]
    monkeypatch.setattr("tastemaker.util.beat_file.time.time", lambda: now[0])
    status = WatchStatus(tmp_path, now=lambda: now[0])
    assert status.trouble() is None, "no watch ever ran"
    write_beat(tmp_path)
    now[0] += 120
    assert status.trouble() is None
    now[0] += 0.5
    for _ in range(3):
        assert status.trouble() == "no watch has evaluated the alert rules since 2025-11-29 14:02:10 UTC"
        now[0] += 60
    write_beat(tmp_path)
    assert status.trouble() is None
    now[0] -= 3_600
    assert status.trouble() is None, "the clock was set back"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.parametrize("content", ["", "soon", "1e999", "nan", "-1e30"])
def test_a_damaged_file_does_not_stop_the_service(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    trouble = WatchStatus(tmp_path).trouble()
    assert (trouble is None) == (content in ("", "soon")), "its time of change counts, else it is unknown"


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    assert WatchStatus(tmp_path).trouble() == "watch.beat can't be read"


def test_a_beat_is_written_at_once_and_leaves_no_other_file(tmp_path: Path) -> None:
    write_beat(tmp_path)
    write_beat(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (read_beat(tmp_path) or 0) > 1_764_000_000
