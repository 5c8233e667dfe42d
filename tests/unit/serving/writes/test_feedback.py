"""What callers report is acknowledged when it is durable, and refused with a time to come back."""

from __future__ import annotations

import asyncio
import sqlite3
from http import HTTPStatus
from pathlib import Path

import pytest

from support.workers import open_worker
from tastemaker.api.schemas import FeedbackEvent, HTTPError, Receipt
from tastemaker.event_log import spool as spools
from tastemaker.event_log.records import FeedbackRecord, ItemRecord
from tastemaker.event_log.spool import FILE_NAME, Spool, read
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.writes.feedback import append_durably, feedback_records

EVENTS = [
    FeedbackEvent("a", "click", "tea", user_id="ann", occurred_at=5.0, position=2),
    FeedbackEvent("b", "purchase", "cup", request_id="r", value=9.5),
]


def test_events_are_logged_as_they_were_sent(tmp_path: Path) -> None:
    assert feedback_records(EVENTS, 100.0) == [
        FeedbackRecord("a", "tea", "click", 1.0, 5.0, 100.0, user_id="ann", position=2),
        FeedbackRecord("b", "cup", "purchase", 9.5, 100.0, 100.0, request_id="r"),
    ]


def test_a_receipt_counts_what_is_new_and_what_was_known(tmp_path: Path) -> None:
    worker = open_worker("m", None, Spool(tmp_path))
    assert asyncio.run(worker.feedback(EVENTS)) == Receipt(2, 0)
    pending = read(tmp_path / FILE_NAME, 10)
    assert pending is not None
    assert [one.event_id for one in pending.of(FeedbackRecord)] == ["a", "b"], "it is on disk by then"
    assert asyncio.run(worker.feedback(EVENTS)) == Receipt(0, 2)
    worker.close()


def test_a_full_log_is_429_with_a_time_to_retry(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1)
    with pytest.raises(HTTPError) as refused:
        asyncio.run(append_durably(spool, [ItemRecord("tea", 1.0)]))
    spool.close()
    assert refused.value.problem.status == HTTPStatus.TOO_MANY_REQUESTS
    assert refused.value.retry_after == spools.DRAIN_SECONDS


def test_a_disk_that_can_not_be_written_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(spools, "insert_each", refusing)
    monkeypatch.setattr(spools, "RETRY_SECONDS", 0.01)
    spool = Spool(tmp_path)
    with pytest.raises(HTTPError, match="nothing of this request was stored") as refused:
        asyncio.run(append_durably(spool, [ItemRecord("tea", 1.0)]))
    spool.close()
    assert refused.value.problem.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert refused.value.retry_after is not None


def test_before_the_log_is_open_nothing_is_acknowledged() -> None:
    with pytest.raises(HTTPError) as refused:
        asyncio.run(ServingProcess().worker.feedback(EVENTS))
    assert refused.value.problem.status == HTTPStatus.SERVICE_UNAVAILABLE
