"""Erasing a user reaches examples of skew and of alerts, which name requests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from support.request_logs import fill, request, settings_of
from tastemaker.privacy import forget
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_incidents, alert_outbox, skew_checks

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINE, OTHER = f"{1:032x}", f"{2:032x}"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A log with a request of user-1 and one of user-2, and an engine that stored examples of both."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(1), request(2)])
    engine = open_engine(home.metadata_url)
    examples = [{"request_id": name, "feature": "orders_per_day", "logged": 0.5} for name in (MINE, OTHER)]
    check = {"model": "random", "version": "v1", "requests": 2, "feature_values": 4, "differing": 2}
    times = {"window_start": NOW, "window_end": NOW, "checked_at": NOW}
    incident = {
        "uid": "u", "key": "k", "rule": "slow", "labels": {}, "severity": "page", "cause": "answers",
        "source": "watch", "opened_at": NOW, "summary": "s", "condition": "c", "notified": [], "reminders": 0,
    }  # fmt: skip
    message = {"incident_id": 1, "channel": "pager", "n": 0, "key": "k", "created_at": NOW, "due_at": NOW}
    with engine.begin() as connection:
        connection.execute(insert(skew_checks).values(summary={"examples": examples}, **check, **times))
        connection.execute(insert(alert_incidents).values(**incident))
        for event, payload in (("trigger", {"summary": "s", "examples": [MINE, OTHER]}), ("resolve", None)):
            row = {"event": event, "delivery_id": event, "payload": payload, "tries": 0}
            connection.execute(insert(alert_outbox).values(**message, **row))
    return home


def stored(engine: Engine) -> tuple[Any, Any]:
    with engine.connect() as connection:
        summary = connection.execute(select(skew_checks.c.summary)).scalar_one()
        payload = select(alert_outbox.c.payload).where(alert_outbox.c.event == "trigger")
        return summary, connection.execute(payload).scalar_one()


def test_a_users_requests_are_erased_from_examples_and_others_stay(home: Settings) -> None:
    proof = forget.forget(home, "user-1")
    erased = {place.place: place.found for place in proof.erased}
    assert erased["metadata skew_checks"] == 1
    assert erased["metadata alert_outbox"] == 1
    assert proof.remains == []
    searched = {place.place: place.looked_at for place in proof.searched}
    assert searched["metadata skew_checks"] == 1
    assert searched["metadata alert_outbox"] == 2
    summary, payload = stored(open_engine(home.metadata_url))
    assert [example["request_id"] for example in summary["examples"]] == [OTHER]
    assert payload == {"summary": "s", "examples": [OTHER]}


def test_a_search_erases_nothing(home: Settings) -> None:
    before = stored(open_engine(home.metadata_url))
    found = forget.search(home, forget.person_of(home, "user-1"))
    places = {place.place for place in found if place.found}
    assert places >= {"metadata skew_checks", "metadata alert_outbox"}
    assert stored(open_engine(home.metadata_url)) == before
