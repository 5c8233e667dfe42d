"""Facts of data, models and jobs: what is exported, of a home whose content is known."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from support import served_homes
from support.exported_facts import declared_facts, exported, store
from support.planted_rollouts import IN_CANARY, NEWEST, plant_newest, plant_rollout
from support.repository import ROOT
from support.request_logs import request
from tastemaker.data.lake import Lake
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import request_rows
from tastemaker.features.snapshot_path import snapshot_path
from tastemaker.monitoring import facts
from tastemaker.monitoring.job_runs import RUNS, record_job_run, record_queue_length
from tastemaker.monitoring.model_facts import stale_after
from tastemaker.privacy.erasure_requests import ErasureRequests
from tastemaker.registry import Version
from tastemaker.registry.deployment import Champion, champion_path, deploy_champion
from tastemaker.rollouts.store import Move, read_rollout, record
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import (
    erasure_requests,
    gate_results,
    ingested_days,
    reports,
    reward_figures,
    skew_checks,
    stalenesses,
)

PROBLEM = """
name: small shop
objectives:
  - name: sales
    events: {purchase: {weight: 1.0}}
"""
WEEK = 7 * 86_400


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty home."""
    return Settings(home=tmp_path / "home", problem=tmp_path / "problem.yaml")


def make_home(settings: Settings) -> Version:
    """A shop whose champion is its only version."""
    version = served_homes.make_home(settings.home)["popularity"]
    settings.problem.write_text(PROBLEM, "utf-8")
    champion = Champion(version.model, version.id, version.problem, at=0.0)
    deploy_champion(settings.artifacts, champion)
    return version


def test_an_empty_home_has_no_facts_and_no_failure(settings: Settings) -> None:
    found = exported(settings)
    assert set(found) == {"fact_failed"}
    assert set(found["fact_failed"]) == {(subject.__name__,) for subject in facts.SUBJECTS}
    assert set(found["fact_failed"].values()) == {0.0}


def test_the_document_has_every_fact_with_its_labels_and_meaning() -> None:
    text = (ROOT / "docs" / "how-to" / "on-call.md").read_text("utf-8")
    lines = [line for line in text.partition("\n## Facts of")[2].splitlines() if line.startswith("| `")]
    documented = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert documented == [
        (f"`{name}`", ", ".join(f"`{label}`" for label in family.labels), family.meaning)
        for name, family in declared_facts().items()
    ]


def test_a_subject_that_fails_is_named_and_the_others_are_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(home: object) -> Iterator[Any]:
        yield facts.FAILED.gauge({("half",): 1.0})
        raise OSError("the disk is away")

    make_home(settings)
    monkeypatch.setattr(facts, "SUBJECTS", (broken, *facts.SUBJECTS))
    with caplog.at_level(logging.WARNING):
        found = exported(settings)
    assert found["fact_failed"].pop(("broken",)) == 1.0
    assert set(found["fact_failed"].values()) == {0.0}
    assert ("half",) not in found["fact_failed"], "half of a subject's facts would be wrong"
    assert "version_data_end_timestamp_seconds" in found
    assert "the disk is away" in caplog.text


def test_a_database_that_is_away_fails_every_subject(tmp_path: Path) -> None:
    url = "postgresql+psycopg2://user@127.0.0.1:1/none"
    found = exported(Settings(home=tmp_path, database_url=url))
    assert set(found) == {"fact_failed"}
    assert set(found["fact_failed"].values()) == {1.0}


def test_the_share_in_quarantine_is_that_of_the_newest_day_beside_the_days_before(
    settings: Settings,
) -> None:
    newest = date(2026, 3, 31)
    days = [  # days before the newest, rows, rows in quarantine
        (0, 200, {"value_negative": 30, "user_id_missing": 20}),
        (1, 100, {}),
        (28, 300, {"value_negative": 8}),
        (29, 1_000, {"value_negative": 1_000}),
    ]
    store(
        settings,
        ingested_days,
        *(
            {
                "source": "table",
                "day": newest - timedelta(days=before),
                "digest": "",
                "rows_read": rows,
                "rows_accepted": rows - sum(reasons.values()),
                "rows_quarantined": reasons,
                "ingested_at": datetime.now(UTC),
            }
            for before, rows, reasons in days
        ),
    )
    found = exported(settings)
    assert found["gate_quarantined_ratio"] == {("table",): 0.25}
    assert found["gate_quarantined_rows"] == {("table",): 50.0}
    assert found["gate_quarantined_usual_ratio"] == {("table",): 8 / 400}


def test_the_newest_event_of_each_source(settings: Settings) -> None:
    lake = Lake(settings.lake)
    rows = served_homes.events()
    newest = rows["occurred_at"].to_pylist()[-1]
    lake.write_day("events", newest.date(), rows, part="table")
    lake.write_day("events", newest.date() + timedelta(days=1), rows.slice(0, 0), part="table")
    lake.write_day("events", newest.date(), rows.slice(0, 10), part="feedback")
    assert exported(settings)["events_newest_timestamp_seconds"] == {
        ("table",): newest.timestamp(),
        ("feedback",): rows["occurred_at"].to_pylist()[9].timestamp(),
    }


@pytest.mark.slow
def test_served_versions_are_the_champion_and_those_that_answered_in_the_last_day(
    settings: Settings,
) -> None:
    version = make_home(settings)
    lake = Lake(settings.lake)
    now = datetime.now(UTC)
    end = {("popularity", version.id): float(version.manifest.window.end)}
    assert exported(settings)["version_data_end_timestamp_seconds"] == end
    champion_path(settings.artifacts, version.problem).unlink()
    assert "version_data_end_timestamp_seconds" not in exported(settings)
    for hours in (30, 1):
        asked = request(1, model="popularity", version=version.id, occurred_at=now.timestamp() - hours * 3600)
        lake.write_day("requests", (now - timedelta(hours=hours)).date(), request_rows([asked]), part="one")
        is_served = "version_data_end_timestamp_seconds" in exported(settings)
        assert is_served == (hours == 1)
    gone = request(2, model="popularity", version="deleted", occurred_at=now.timestamp())
    lake.write_day("requests", now.date(), request_rows([gone]), part="two")
    assert exported(settings)["fact_failed"]["served_versions",] == 0.0


def test_drift_is_that_of_the_newest_report_on_a_served_model(settings: Settings) -> None:
    version, now = make_home(settings), datetime.now(UTC)
    report = {"kind": "drift", "problem": "small shop", "version_id": version.id, "path": "drift.html"}
    column = {"side": "lists", "column": "item_price", "distance": 0.4, "threshold": 0.15}
    new = {"side": "lists", "column": "score", "distance": 0.9, "threshold": None}
    store(
        settings,
        reports,
        report
        | {"created_at": now - timedelta(hours=30), "summary": {"columns": [column | {"distance": 9}]}},
        report | {"created_at": now - timedelta(hours=6), "summary": {"columns": [column, new]}},
    )
    found, labels = exported(settings), ("popularity", version.id, "lists", "item_price")
    assert (found["drift_distance"], found["drift_threshold"]) == ({labels: 0.4}, {labels: 0.15})


def test_an_old_drift_report_says_nothing_about_now(settings: Settings) -> None:
    version, then = make_home(settings), datetime.now(UTC) - timedelta(days=4)
    column = {"side": "lists", "column": "item_price", "distance": 0.4, "threshold": 0.15}
    report = {"kind": "drift", "problem": "small shop", "version_id": version.id, "path": "drift.html"}
    store(settings, reports, report | {"created_at": then, "summary": {"columns": [column]}})
    assert "drift_distance" not in exported(settings)


def staleness(**other: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "problem": "small shop",
        "model": "popularity",
        "config": {},
        "data_hash": "",
        "metric": "ndcg@10",
        "trained_until": now,
        "fresh": {"value": 0.2, "low": 0.19, "high": 0.21},
        "loss_per_week": {"value": 0.002, "low": 0.001, "high": 0.003},
        "weeks": [],
        "created_at": now,
    } | other


def test_a_version_is_stale_when_the_measured_loss_reaches_the_share(settings: Settings) -> None:
    """0.002 a week of 0.2 is 1 % a week: 5 % are lost after five weeks."""
    version = make_home(settings)
    assert "version_stale_after_seconds" not in exported(settings), "nothing was measured"
    store(
        settings, stalenesses, staleness(loss_per_week={"value": 0.1, "low": 0.1, "high": 0.1}), staleness()
    )
    found = exported(settings)["version_stale_after_seconds"]
    assert found == {("popularity", version.id): pytest.approx(5 * WEEK)}


@pytest.mark.parametrize(
    "loss",
    [
        {"value": 0.002, "low": -0.001, "high": 0.005},
        {"value": -0.002, "low": -0.003, "high": -0.001},
        {"value": 0.0, "low": None, "high": None},
    ],
)
def test_a_loss_that_may_be_none_gives_no_age(settings: Settings, loss: dict[str, Any]) -> None:
    store(settings, stalenesses, staleness(loss_per_week=loss))
    engine = open_engine(settings.metadata_url)
    assert stale_after(engine, "small shop", "popularity", 0.05) is None
    engine.dispose()


def test_the_newest_batch_of_each_source_passed_or_not(settings: Settings) -> None:
    def result(source: str, passed: bool) -> dict[str, Any]:
        row = {"source": source, "passed": passed, "reason": "", "rows_read": 1, "rows_quarantined": {}}
        return row | {"checked_at": datetime.now(UTC)}

    given = [("table", True), ("feedback", False), ("table", False), ("feedback", True)]
    store(settings, gate_results, *(result(source, passed) for source, passed in given))
    assert exported(settings)["gate_passed"] == {("table",): 0.0, ("feedback",): 1.0}


def test_rewards_are_those_of_the_newest_computation(settings: Settings) -> None:
    settings.problem.write_text(PROBLEM, "utf-8")
    now = datetime.now(UTC)

    def figure(model: str, period: str, hours: int, value: float, **other: Any) -> dict[str, Any]:
        at = now - timedelta(hours=hours)
        row = {"problem": "small shop", "period_start": at, "period_end": at, "users": 30, "requests": 90}
        row |= {"model": model, "period": period, "value": value, "low": value / 2, "high": value * 2}
        return row | {"computed_at": at} | other

    store(
        settings,
        reward_figures,
        figure("ease", "1d", 24, 9.0),
        figure("ease", "28d", 24, 9.0),
        figure("ease", "1d", 0, 1.0),
        figure("ease", "28d", 0, 3.0, low=None, high=None),
        figure("ease", "1d", 0, 5.0, problem="another"),
    )
    found = exported(settings)
    assert found["reward_per_request"] == {("ease", "1d"): 1.0, ("ease", "28d"): 3.0}
    assert found["reward_per_request_low"] == {("ease", "1d"): 0.5}
    assert found["reward_per_request_high"] == {("ease", "1d"): 2.0}


def test_features_are_missing_against_what_the_same_users_had_in_training(settings: Settings) -> None:
    """Of 120 requests by known users half lack the tempo; one user in four lacked it in training."""
    version = make_home(settings)
    end, now = version.manifest.window.end, datetime.now(UTC)
    users = [f"user-{number:02d}" for number in range(40)]
    known = pa.table(
        {
            "user_id": users,
            "user_tempo_days": pa.array([None if n % 4 == 0 else 1.0 for n in range(40)], pa.float32()),
            "user_events_count": pa.array([1.0] * 40, pa.float32()),
        }
    )
    path = snapshot_path(settings.features, "users", end)
    path.parent.mkdir(parents=True)
    pq.write_table(known, path)

    def asked(number: int, user_id: str, tempo: float | None, **other: Any) -> Record:
        features = {"user_tempo_days": tempo, "user_events_count": 1.0}
        at = now.timestamp() - number
        row = {"user_id": user_id, "occurred_at": at, "model": version.model, "version": version.id}
        return request(number, **row | {"features": features} | other)

    shown = [asked(n, users[n % 40], None if n % 2 else 1.0) for n in range(120)]
    shown += [asked(200 + n, f"new-{n}", None) for n in range(50)]
    shown += [asked(300 + n, "user-01", None, kind="session") for n in range(50)]
    shown += [asked(400 + n, "user-01", None, features=None) for n in range(50)]
    lake = Lake(settings.lake)
    lake.write_day("requests", now.date(), request_rows(shown[:99]), part="one")
    assert "feature_missing_ratio" not in exported(settings), "99 requests are too few"
    lake.write_day("requests", now.date(), request_rows(shown), part="one")
    found = exported(settings)
    labels = (version.model, version.id)
    assert found["feature_missing_ratio"] == {
        (*labels, "user_tempo_days"): 0.5,
        (*labels, "user_events_count"): 0.0,
    }
    assert found["feature_missing_learned_ratio"] == {
        (*labels, "user_tempo_days"): 0.25,
        (*labels, "user_events_count"): 0.0,
    }


def test_skew_is_that_of_the_newest_check_of_the_last_days(settings: Settings) -> None:
    now = datetime.now(UTC)

    def found(version: str, hours: int, values: int, differing: int) -> dict[str, Any]:
        at = now - timedelta(hours=hours)
        row = {"model": "ranker", "version": version, "requests": values, "feature_values": values}
        row |= {"differing": differing, "summary": {}, "window_start": at, "window_end": at}
        return row | {"checked_at": at}

    store(settings, skew_checks, found("v1", 49, 100, 50))
    assert "feature_skew_ratio" not in exported(settings)
    store(settings, skew_checks, found("v1", 25, 100, 50), found("v2", 1, 200, 1), found("v3", 1, 0, 0))
    facts_now = exported(settings)
    assert facts_now["feature_skew_ratio"] == {("ranker", "v2"): 0.005}
    assert facts_now["feature_skew_requests"] == {("ranker", "v2"): 200.0}


def test_requests_to_erase_a_user_are_overdue_until_they_end(settings: Settings) -> None:
    requests = ErasureRequests(settings)
    requests.enter("early", actor="a", reason="ticket 1")
    late = requests.enter("late", actor="a", reason="ticket 2").number
    assert exported(settings)["erasure_overdue_requests"] == {(): 0.0}
    engine = open_engine(settings.metadata_url)
    passed = update(erasure_requests).values(due_at=datetime.now(UTC) - timedelta(seconds=1))
    with engine.begin() as connection:
        connection.execute(passed.where(erasure_requests.c.number == late))
    engine.dispose()
    assert exported(settings)["erasure_overdue_requests"] == {(): 1.0}
    requests.decline(late, actor="b", reason="withdrawn")
    assert exported(settings)["erasure_overdue_requests"] == {(): 0.0}


def test_the_next_step_of_a_rollout_is_due_until_users_have_its_version(settings: Settings) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    engine = open_engine(settings.metadata_url)
    plant_newest(engine, now)
    key = (str(plant_rollout(engine, now, NEWEST, IN_CANARY[:3])),)
    due = now - timedelta(hours=IN_CANARY[0].hours_ago) + timedelta(hours=24)
    assert exported(settings)["rollout_due_timestamp_seconds"] == {key: due.timestamp()}
    rollout = read_rollout(engine, int(key[0]))
    record(engine, rollout, Move("canary", "1 % of the users have it"), now)
    assert "rollout_due_timestamp_seconds" not in exported(settings)
    engine.dispose()


@pytest.mark.servers
def test_facts_are_read_from_postgres(tmp_path: Path, postgres_url: str) -> None:
    settings = Settings(home=tmp_path, problem=tmp_path / "problem.yaml", database_url=postgres_url)
    settings.problem.write_text(PROBLEM, "utf-8")
    now = datetime.now(UTC)
    engine = open_engine(postgres_url)
    record_job_run(engine, "run", "everything", succeeded=True, ended_at=now)
    record_queue_length(engine, RUNS, 3, now)
    engine.dispose()
    gate = {"source": "table", "passed": True, "reason": "", "rows_read": 1, "rows_quarantined": {}}
    store(settings, gate_results, gate | {"checked_at": now})
    store(settings, stalenesses, staleness())
    figure = {
        "problem": "small shop",
        "model": "ease",
        "period": "1d",
        "period_start": now,
        "period_end": now,
    }
    figure |= {"users": 1, "requests": 1, "value": 2.0, "low": None, "high": None, "computed_at": now}
    store(settings, reward_figures, figure)
    found = exported(settings)
    assert set(found["fact_failed"].values()) == {0.0}
    assert found["gate_passed"] == {("table",): 1.0}
    assert found["job_succeeded_timestamp_seconds"] == {("everything",): pytest.approx(now.timestamp())}
    assert found["run_queue_runs"] == {(): 3.0}
    assert found["reward_per_request"] == {("ease", "1d"): 2.0}
