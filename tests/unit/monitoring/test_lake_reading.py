"""What is known of the lake is stored by those who write it; the watch imports nothing that reads it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from support.request_logs import fill, request, settings_of
from tastemaker.event_log import shipping
from tastemaker.monitoring.lake_queries import read_lake, record_lake
from tastemaker.monitoring.lake_reading import (
    AnsweringVersion,
    FeatureShares,
    LakeReading,
    newest_reading,
    store,
)
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_reading_comes_back_as_it_was_stored_and_replaces_the_one_before(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'meta.db'}")
    assert newest_reading(engine, NOW) == LakeReading()
    store(engine, LakeReading({"table": 1.0}), NOW)
    reading = LakeReading(
        {"table": 2.5},
        [AnsweringVersion("ease", "v1", NOW.timestamp())],
        [FeatureShares("ease", "v1", "user_tempo_days", 0.5, 0.25)],
        {"newest_events": "why"},
    )
    store(engine, reading, NOW)
    assert newest_reading(engine, NOW) == reading
    engine.dispose()


def test_a_version_without_requests_for_a_day_is_no_longer_known_to_answer() -> None:
    ended, answers = NOW - timedelta(hours=13), NOW - timedelta(hours=1)
    reading = LakeReading(
        answering=[
            AnsweringVersion("ease", "v1", ended.timestamp()),
            AnsweringVersion("ease", "v2", answers.timestamp()),
        ],
        missing_features=[FeatureShares("ease", one, "user_tempo_days", 0.5, 0.25) for one in ("v1", "v2")],
    )
    assert reading.as_of(NOW) == reading
    later = reading.as_of(NOW + timedelta(hours=12))
    assert [one.version for one in later.answering] == ["v2"]
    assert [one.version for one in later.missing_features] == ["v2"]


def test_a_damaged_file_fails_what_it_is_about(tmp_path: Path) -> None:
    path = tmp_path / "events" / "day=2026-01-01" / "table.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 is how a file begins")
    found = read_lake(tmp_path, tmp_path, tmp_path, NOW)
    assert set(found.errors) == {"newest_events"}


def test_a_database_that_is_away_does_not_fail_the_writer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record_lake(Settings(home=tmp_path, database_url="postgresql+psycopg2://user@127.0.0.1:1/none"))
    assert "what facts need of the lake can't be stored" in caplog.text


def test_a_shipper_records_what_it_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once after the drain, and not again while nothing is new."""
    home = settings_of(tmp_path)
    now = datetime.now(UTC)
    fill(home.spool, [request(1, model="ease", version="v7", occurred_at=now.timestamp())])
    monkeypatch.setattr(shipping, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(shipping, "LAKE_SECONDS", 0.0)
    monkeypatch.setattr(shipping, "RECORD_SECONDS", 0.0)
    stop, readings, rounds = Event(), list[LakeReading](), iter(range(3))

    def record() -> None:
        record_lake(home)
        engine = open_engine(home.metadata_url)
        readings.append(newest_reading(engine, now))
        engine.dispose()

    def next_round() -> None:
        if next(rounds, None) is None:
            stop.set()

    shipping.follow(
        home, stop, progress=lambda moved: None, on_failure=pytest.fail, record=record,
        export=next_round,
    )  # fmt: skip
    [found] = readings
    assert [(one.model, one.version) for one in found.answering] == [("ease", "v7")]
    assert asdict(found)["errors"] == {}


@pytest.mark.processes
def test_the_watch_imports_nothing_that_reads_the_lake() -> None:
    modules = "tastemaker.watch.watcher, tastemaker.watch.pages, tastemaker.monitoring.facts"
    code = f"import sys, {modules}, tastemaker.log_search.newest_ids; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"duckdb", "numpy", "pandas", "pyarrow", "scipy"}
    assert set(done.stdout.split()) & heavy == set()
