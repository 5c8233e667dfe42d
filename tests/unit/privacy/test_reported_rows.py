"""Erasing a user reaches what foreign models reported: tables, refused rows, files and the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from support.reporting_homes import Reporting, event, reporting, shown
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain, read_feedback, read_log
from tastemaker.privacy.forget import forget
from tastemaker.storage.tables import in_feedback, in_rejected, in_requests

WHO, OTHER = "user-07", "user-08"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Reporting]:
    with reporting(tmp_path / "home") as made:
        yield made


@pytest.mark.slow
def test_rows_of_the_user_are_deleted_and_no_others(home: Reporting) -> None:
    for number, user in enumerate((WHO, OTHER)):
        home.post(
            "/impressions", [shown(number, user_id=user), shown(number, user_id=user, item_ids="wrong")]
        )
        home.post("/feedback", [event(number), event(value="wrong", request_id=f"r{number}")])
        waiting = shown(10 + number, user_id=user)
        with home.engine.begin() as connection:
            connection.execute(insert(in_requests).values(waiting | {"item_ids": "[]", "source": "bi"}))
            connection.execute(insert(in_feedback).values(event(10 + number) | {"source": "bi"}))
            connection.execute(insert(in_feedback).values(event(20, user_id=user) | {"source": "bi"}))
    files = home.settings.report_in / "bi"
    files.mkdir(parents=True)
    path = files / "impressions.ndjson"
    path.write_text("".join(json.dumps(shown(user_id=user)) + "\n" for user in (WHO, OTHER)))
    lake = Lake(home.settings.lake)
    drain(home.settings.spool, lake)
    proof = forget(home.settings, WHO)
    assert proof.remains == []
    erased = {one.place: one.found for one in proof.erased}
    assert {place: n for place, n in erased.items() if place.startswith("metadata in_")} == {
        "metadata in_requests": 1, "metadata in_feedback": 2, "metadata in_rejected": 2,
    }  # fmt: skip
    with home.engine.connect() as connection:
        kept = [connection.execute(select(table)).all() for table in (in_requests, in_feedback, in_rejected)]
    assert [len(rows) for rows in kept] == [1, 2, 2]
    assert [row["user_id"] for row in read_log(lake).to_pylist()] == [OTHER]
    assert len(read_feedback(lake)) == 1
    assert WHO not in path.read_text()
    assert OTHER in path.read_text()
