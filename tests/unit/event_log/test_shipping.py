"""A shipper that follows fills the lake with few files, and misses nothing."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from support.request_logs import fill, request, settings_of
from tastemaker.data.lake import Lake
from tastemaker.event_log import shipping
from tastemaker.event_log.drain import read_log
from tastemaker.settings import Settings


def followed(home: Settings, monkeypatch: pytest.MonkeyPatch, rounds: int = 3) -> None:
    """Follow for some rounds, in each of which a request comes."""
    monkeypatch.setattr(shipping, "POLL_SECONDS", 0.0)
    stop, numbers = Event(), iter(range(100, 100 + rounds))

    def next_round() -> None:
        number = next(numbers, None)
        if number is None:
            stop.set()
        else:
            fill(home.spool, [request(number)])

    shipping.follow(home, stop, progress=lambda moved: None, on_failure=pytest.fail, export=next_round)


def test_young_records_wait_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file per round."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(1)])
    followed(home, monkeypatch)
    assert Lake(home.lake).files("requests") == []


def test_an_old_record_is_drained_with_all_that_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into one file."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(1), request(2)])
    monkeypatch.setattr("tastemaker.event_log.spool_file.time.time", lambda: 4e9)
    followed(home, monkeypatch, rounds=0)
    assert len(Lake(home.lake).files("requests")) == 1
    assert len(read_log(Lake(home.lake))) == 2


@pytest.mark.parametrize(("lake_seconds", "copies"), [(300.0, 1), (0.0, 6)])
def test_what_other_services_shipped_is_copied_into_few_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lake_seconds: float, copies: int
) -> None:
    """At most one copy per `LAKE_SECONDS`, however often the spool is looked at."""
    monkeypatch.setattr(shipping, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(shipping, "LAKE_SECONDS", lake_seconds)
    stop, rounds, pulled = Event(), iter(range(5)), list[Lake]()
    monkeypatch.setattr(shipping, "pull", lambda url, lake: pulled.append(lake))

    def export() -> None:
        if next(rounds, None) is None:
            stop.set()

    home = settings_of(tmp_path, "postgresql://localhost/log")
    shipping.follow(home, stop, progress=lambda moved: None, on_failure=pytest.fail, export=export)
    assert len(pulled) == copies


def test_many_records_are_drained_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However young they are."""
    monkeypatch.setattr(shipping, "BATCH_RECORDS", 3)
    home = settings_of(tmp_path)
    fill(home.spool, [request(1)])
    followed(home, monkeypatch, rounds=3)
    assert len(Lake(home.lake).files("requests")) == 1
    assert len(read_log(Lake(home.lake))) == 3
