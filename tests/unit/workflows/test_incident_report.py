"""The report of an incident: everything around it, in order, and the lists behind it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from support.request_logs import NOON, fill, request, settings_of
from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import (
    alert_incidents,
    alert_notes,
    dependency_changes,
    deployments,
    gate_results,
    job_runs,
    promotions,
    versions,
)
from tastemaker.workflows.incident_report import incident_report, markdown

OPENED = datetime.fromtimestamp(NOON, UTC) + timedelta(minutes=10)
CLOSED = OPENED + timedelta(minutes=5)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


@pytest.fixture
def engine(home: Settings) -> Engine:
    return open_engine(home.metadata_url)


def store(engine: Engine, table: Any, **row: Any) -> None:
    with engine.begin() as connection:
        connection.execute(insert(table).values(**row))


def store_incident(engine: Engine, **other: Any) -> None:
    fields = {
        "uid": f"u{other.get('rule', '')}",
        "key": f"tastemaker/test/{other.get('rule', 'fallback_share')}",
        "rule": "fallback_share",
        "labels": {"model": "random", "job": "tastemaker"},
        "severity": "page",
        "cause": "answers",
        "source": "watch",
        "opened_at": OPENED,
        "closed_at": CLOSED,
        "ending": "its condition is no longer true",
        "summary": "random: 10% of lists are not the model's",
        "condition": "More than 5 %.",
        "notified": ["pager"],
        "reminders": 0,
    }
    store(engine, alert_incidents, **fields | other)


def test_the_timeline_has_what_happened_around_it_in_order(home: Settings, engine: Engine) -> None:
    def at(minutes: float) -> datetime:
        return OPENED + timedelta(minutes=minutes)

    store_incident(engine)
    store_incident(engine, rule="slow", opened_at=at(-120), closed_at=at(-110), summary="slow lists")
    store(engine, alert_notes, uid="n", incident_id=1, at=at(1), text="degraded: the model | fails")
    store(
        engine,
        versions,
        id="v9",
        model="random",
        problem="p",
        content_hash="0",
        manifest={},
        created_at=at(-90),
    )
    store(
        engine,
        promotions,
        problem="p",
        version_id="v9",
        action="promote",
        forced=True,
        reason="a try",
        at=at(-9),
    )
    store(engine, deployments, model="random", version_id="v8", at=at(-20))
    changed = ["events delimiter is ;, was ,"]
    store(
        engine,
        dependency_changes,
        kind="source",
        name="table",
        state={},
        changes=changed,
        observed_at=at(-30),
    )
    refused = {"passed": False, "reason": "no rows", "rows_read": 0, "rows_quarantined": {}}
    store(engine, gate_results, source="table", checked_at=at(-29), **refused)
    some = {"passed": True, "reason": "", "rows_read": 90, "rows_quarantined": {"price": 7}}
    store(engine, gate_results, source="table", checked_at=at(-28), **some)
    store(engine, job_runs, run_id="r", job_name="everything", succeeded=False, ended_at=at(-27))
    store(engine, job_runs, run_id="old", job_name="everything", succeeded=True, ended_at=at(-60 * 25))
    report = incident_report(home, engine, 1)
    texts = [line.text for line in report.timeline]
    assert texts == [
        "incident 2: slow fired: slow lists",
        "source table changed: events delimiter is ;, was ,",
        "data: a batch of table was refused: no rows",
        "data: 7 of 90 rows of table went to quarantine",
        "job: everything failed",
        "deployment: deploy random v8",
        "deployment: promote, forced, random v9: a try",
        "fallback_share fired: random: 10% of lists are not the model's",
        "related: degraded: the model | fails",
        "over: its condition is no longer true",
    ]
    assert [line.at for line in report.timeline] == sorted(line.at for line in report.timeline)
    said = markdown(report)
    assert "| related: degraded: the model \\| fails |" in said
    assert "It ended at 2026-03-01 12:15:00, after 5 min" in said
    assert "No person acknowledged it." in said
    assert report.rule is not None
    assert report.rule.runbook.users_notice in said
    assert json.loads(json.dumps(report.to_json()))["incident"]["number"] == 1


def test_the_lists_are_those_of_the_incident(home: Settings, engine: Engine) -> None:
    """Only failed lists of its model, from two minutes before it fired until it ended."""
    store_incident(engine)
    seconds = {"early": 60, "first": 540, "healthy": 600, "other": 610, "last": 899, "late": 901}
    failed: dict[str, Any] = {"fallback": "model_invalid", "stage": "popular"}
    more: dict[str, dict[str, Any]] = {
        "healthy": {"fallback": None, "stage": "model"},
        "other": {"model": "ease"},
    }
    fill(
        home.spool,
        [
            request(0, request_id=name, occurred_at=NOON + at, **failed | more.get(name, {}))
            for name, at in seconds.items()
        ],
    )
    report = incident_report(home, engine, 1)
    assert [record.request_id for record in report.lists] == ["last", "first"]
    said = markdown(report)
    assert "`tastemaker log search model:random fallback:any since:" in said
    assert "| `last` | `user-0` | random v1 | model_invalid | tea, cup |" in said


def test_an_open_incident_of_a_rule_about_no_lists(home: Settings, engine: Engine) -> None:
    store_incident(engine, rule="disk_filling", cause="machine", closed_at=None, ending=None, labels={})
    report = incident_report(home, engine, 1)
    assert report.query == ()
    said = markdown(report)
    assert "It is still open." in said
    assert "## Lists" not in said


def test_an_unknown_incident_is_an_error(home: Settings, engine: Engine) -> None:
    with pytest.raises(TastemakerError, match="there is no incident 7"):
        incident_report(home, engine, 7)
