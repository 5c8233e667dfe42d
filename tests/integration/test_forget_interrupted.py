"""An erasure or an expiry after a move of the log that was killed: the other records are in the lake once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.request_logs import NOON, click, fill, request
from tastemaker.data.lake import Lake
from tastemaker.event_log import drain as drains
from tastemaker.event_log import postgres
from tastemaker.event_log.drain import drain, put_rows
from tastemaker.event_log.postgres import PostgresSink, pull
from tastemaker.event_log.records import Entry, UserRecord
from tastemaker.event_log.shipping import collect
from tastemaker.privacy import forget as erasure
from tastemaker.privacy.forget import forget
from tastemaker.privacy.retention import expire
from tastemaker.privacy.search import search_home
from tastemaker.settings import LogSettings, PrivacySettings, Settings
from tastemaker.util.file_lock import file_lock

WHO, OTHER = "user-07", "user-08"
DAY = 86_400.0
LOGGED: list[Entry] = [
    request(0, user_id=WHO),
    click("own", user_id=WHO),
    UserRecord(WHO, NOON, country="NL"),
    request(1, user_id=OTHER),
    click("other", user_id=OTHER),
    UserRecord(OTHER, NOON, country="NL"),
]
KEPT = {"requests": [f"{1:032x}"], "feedback": ["click-other"], "user_changes": [OTHER]}
KEYS = {"requests": "request_id", "feedback": "event_id", "user_changes": "user_id"}


def dies(*_: object, **__: object) -> None:
    """A process is killed here."""
    raise OSError("killed")


def dies_after(work: Callable[..., None], times: int) -> Callable[..., None]:
    """The work, after which a process is killed the last time."""
    left = iter(range(times))

    def dying(*arguments: Any, **named: Any) -> None:
        work(*arguments, **named)
        if next(left) == times - 1:
            dies()

    return dying


def rows(lake: Lake) -> dict[str, list[str]]:
    """The keys of all rows of the log, as they are in the files."""
    return {table: lake.read(table)[key].to_pylist() for table, key in KEYS.items()}


@pytest.mark.parametrize("tables", [1, 2, 3])
def test_a_killed_drain_into_the_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: int) -> None:
    settings = Settings(home=tmp_path)
    lake = Lake(settings.lake)
    fill(settings.spool, LOGGED)
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "write_day", dies_after(Lake.write_day, tables))
        with pytest.raises(OSError, match="killed"):
            collect(settings, lake)
    assert not forget(settings, WHO).remains
    collect(settings, lake)
    assert rows(lake) == KEPT


def test_what_killed_writers_left_is_erased(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    lake = Lake(settings.lake)
    fill(settings.spool, LOGGED)
    collect(settings, lake)
    (part,) = lake.files("requests")
    places = (
        part.parent,
        lake.path("events", datetime(2026, 3, 1, tzinfo=UTC).date()).parent,
        tmp_path / "simulate",
    )
    left = [folder / f".{part.name}.a1b2c3d4.tmp" for folder in places]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part.read_bytes())
    forget(settings, WHO)
    assert not any(path.exists() for path in left)


def test_no_drain_begins_while_an_erasure_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    assert held_by_an_erasure(settings, settings.spool / "drain.lock", monkeypatch)


def held_by_an_erasure(settings: Settings, lock: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether an erasure holds a lock while it searches for the files that it changes."""
    held: list[bool] = []

    def watched(*arguments: Any) -> Any:
        try:
            with file_lock(lock, wait=False):
                held.append(False)
        except BlockingIOError:
            held.append(True)
        return search_home(*arguments)

    monkeypatch.setattr(erasure, "search_home", watched)
    forget(settings, WHO)
    return held[0]


@pytest.mark.servers
class TestLogDatabase:
    """The same of the copy from the log database."""

    @pytest.fixture
    def settings(self, tmp_path: Path, postgres_url: str) -> Settings:
        return Settings(
            home=tmp_path,
            log=LogSettings(target="postgres", url=postgres_url),
            privacy=PrivacySettings(log_days=3),
        )

    def test_a_killed_drain_into_it(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        lake = Lake(settings.lake)
        fill(settings.spool, LOGGED)
        with monkeypatch.context() as patched:
            patched.setattr(drains, "forget", dies)
            with pytest.raises(OSError, match="killed"):
                collect(settings, lake)
        assert not forget(settings, WHO).remains
        collect(settings, lake)
        assert rows(lake) == KEPT

    def test_a_killed_copy_from_it(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        lake = Lake(settings.lake)
        fill(settings.spool, LOGGED)
        with monkeypatch.context() as patched:
            patched.setattr(postgres, "put_rows", dies_after(put_rows, 1))
            with pytest.raises(OSError, match="killed"):
                collect(settings, lake)
        assert not forget(settings, WHO).remains
        collect(settings, lake)
        assert rows(lake) == KEPT

    def test_an_expiry_after_a_killed_copy(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        lake = Lake(settings.lake)
        fill(settings.spool, [request(n, occurred_at=NOON + n * DAY) for n in range(6)])
        drain(settings.spool, PostgresSink(settings.log_url))
        with monkeypatch.context() as patched:
            patched.setattr(postgres, "put_rows", dies_after(put_rows, 1))
            with pytest.raises(OSError, match="killed"):
                pull(settings.log_url, lake)
        today = datetime.fromtimestamp(NOON + 5 * DAY, UTC).date()
        expire(settings, lake, today=today)
        pull(settings.log_url, lake)
        assert lake.read("requests")["request_id"].to_pylist() == [f"{n:032x}" for n in (3, 4, 5)]

    def test_no_copy_begins_while_an_erasure_works(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock = postgres._noted(settings.log_url, settings.lake).with_suffix(".lock")
        assert held_by_an_erasure(settings, lock, monkeypatch)
