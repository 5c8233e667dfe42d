"""What is older than its period is deleted, stays deleted, and nothing younger is touched."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from support.request_logs import NOON, click, exposure, fill, request, shadow
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain
from tastemaker.event_log.feedback_source import land_feedback
from tastemaker.event_log.merge import merge
from tastemaker.event_log.postgres import PostgresSink
from tastemaker.event_log.records import Entry
from tastemaker.privacy.retention import Expired, expire, first_day
from tastemaker.settings import LogSettings, PrivacySettings, Settings
from tastemaker.workflows.workspace import Workspace

DAY = 86_400.0
TODAY = date(2026, 3, 1) + timedelta(days=9)
"""Records are of the ten days until today."""


def logged_days(folder: Path) -> Lake:
    """A lake with ten days of requests and reported purchases."""
    lake = Lake(folder / "lake")
    for number in range(10):
        at = NOON + number * DAY
        bought = click(number, event_type="purchase", occurred_at=at, received_at=at)
        seen = exposure(number, occurred_at=at, received_at=at)
        copy = shadow(100 + number, shadow_of=number, occurred_at=at)
        fill(folder / "spool", [request(number, occurred_at=at), bought, seen, copy])
    drain(folder / "spool", lake)
    land_feedback(lake)
    return lake


def test_nothing_is_deleted_unless_the_settings_say_so(tmp_path: Path) -> None:
    lake = logged_days(tmp_path)
    assert expire(Settings(home=tmp_path), lake, today=TODAY) == Expired(0, 0, 0)
    assert len(lake.days("requests")) == 10


def test_logs_and_events_have_periods_of_their_own(tmp_path: Path) -> None:
    lake = logged_days(tmp_path)
    settings = Settings(home=tmp_path, privacy=PrivacySettings(log_days=3, events_days=5))
    expire(settings, lake, today=TODAY)
    logs = dict.fromkeys(("requests", "feedback", "exposures", "shadow_answers"), 3)
    for table, kept in (logs | {"landed_events": 5}).items():
        assert lake.days(table) == [TODAY - timedelta(days=n) for n in reversed(range(kept))], table


def test_what_a_merge_replaced_expires_with_the_merged_files(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for number in range(5):
        fill(tmp_path / "spool", [request(number)])
        drain(tmp_path / "spool", lake)
    merge(lake, today=TODAY)
    assert len(list(lake.root.rglob("*.parquet"))) == 6
    settings = Settings(home=tmp_path, privacy=PrivacySettings(log_days=3))
    assert expire(settings, lake, today=TODAY).log_days == 6
    assert not list(lake.root.rglob("*.parquet"))


def test_expired_feedback_does_not_come_back(tmp_path: Path) -> None:
    lake = logged_days(tmp_path)
    settings = Settings(home=tmp_path, privacy=PrivacySettings(events_days=5))
    expire(settings, lake, today=TODAY)
    land_feedback(lake, first_day=first_day(5, TODAY))
    assert len(lake.days("landed_events")) == 5


def test_a_source_is_not_asked_for_days_that_are_not_kept(tmp_path: Path) -> None:
    source = {"name": "simulated", "options": {"n_users": 30, "n_items": 20, "n_days": 20}}
    everything = Workspace(Settings(home=tmp_path, source=source)).source.days()
    since = (date.today() - min(everything)).days - 4
    kept = Workspace(Settings(home=tmp_path, source=source, privacy=PrivacySettings(events_days=since)))
    assert len(everything) - len(kept.source.days()) == 5


@pytest.mark.servers
def test_the_database_of_logs_is_held_to_it_too(tmp_path: Path, postgres_url: str) -> None:
    lake = Lake(tmp_path / "lake")
    for number in range(10):
        at = NOON + number * DAY
        records: list[Entry] = [
            request(number, occurred_at=at),
            exposure(number, received_at=at),
            shadow(100 + number, shadow_of=number, occurred_at=at),
        ]
        fill(tmp_path / "spool", records)
    drain(tmp_path / "spool", PostgresSink(postgres_url))
    log, privacy = LogSettings(target="postgres", url=postgres_url), PrivacySettings(log_days=4)
    settings = Settings(home=tmp_path, log=log, privacy=privacy)
    assert expire(settings, lake, today=TODAY).log_records == 18
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        keys = set(connection.execute(text("SELECT key FROM log_records")).scalars())
    engine.dispose()
    kept = range(6, 10)
    assert keys == {
        *(f"{number:032x}" for number in kept),
        *(f"exposure-{number}" for number in kept),
        *(f"{100 + number:032x}" for number in kept),
    }
