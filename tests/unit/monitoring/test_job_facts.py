"""Facts of jobs, of the run queue and of the executor's queues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from support.exported_facts import exported, store
from tastemaker.alerting.rules import all_rules
from tastemaker.alerting.series import Series
from tastemaker.monitoring.job_runs import RUNS, record_job_run, record_queue_length
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import (
    gate_results,
)
from tastemaker.watch_settings import CelerySettings, WatchSettings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty home."""
    return Settings(home=tmp_path / "home", problem=tmp_path / "problem.yaml")


def test_a_job_failed_until_it_succeeds_again(settings: Settings) -> None:
    engine, start = open_engine(settings.metadata_url), datetime(2026, 3, 1, tzinfo=UTC)

    def end(number: int, job_name: str, succeeded: bool) -> None:
        timestamp = start + timedelta(hours=number)
        record_job_run(engine, f"run-{number}", job_name, succeeded=succeeded, ended_at=timestamp)

    end(1, "everything", True)
    end(2, "everything", False)
    end(3, "other", False)
    end(3, "other", False)
    found = exported(settings)
    assert found["job_failed"] == {("everything",): 1.0, ("other",): 1.0}
    assert found["job_succeeded_timestamp_seconds"] == {("everything",): start.timestamp() + 3_600}
    end(4, "everything", True)
    assert exported(settings)["job_failed"] == {("everything",): 0.0, ("other",): 1.0}
    engine.dispose()


def test_a_job_whose_data_was_refused_is_not_one_that_failed(settings: Settings) -> None:
    """`gate_failed` is for the refusal, and job_failed for the rest: one cause, one message."""
    engine, start = open_engine(settings.metadata_url), datetime(2026, 3, 1, tzinfo=UTC)

    def end(hours: int, succeeded: bool) -> None:
        at = start + timedelta(hours=hours)
        record_job_run(engine, f"run-{hours}", "everything", succeeded=succeeded, ended_at=at)

    def refuse(hours: int) -> None:
        row = {"source": "table", "reason": "no rows", "rows_read": 0, "rows_quarantined": {}}
        at = start + timedelta(hours=hours)
        store(settings, gate_results, row | {"passed": False, "checked_at": at})

    def job_failed() -> set[str]:
        found = exported(settings)
        export = {
            f"tastemaker_{name}": [
                Series(frozenset({"job_name": job}.items()), [0.0], [value])
                for (job,), value in found[name].items()
            ]
            for name in ("job_failed", "job_refused")
        }
        [rule] = [one for one in all_rules(Settings()) if one.name == "job_failed"]
        return {dict(labels)["job_name"] for labels in rule.condition.fires.evaluate(export, 0.0)}

    end(1, True)
    end(2, False)
    assert job_failed() == {"everything"}
    refuse(3)
    assert job_failed() == set()
    end(4, True)
    end(5, False)
    assert job_failed() == {"everything"}, "the refusal is older than the last success"
    engine.dispose()


def test_the_run_queue_is_shown_while_it_is_observed(settings: Settings) -> None:
    engine, now = open_engine(settings.metadata_url), datetime.now(UTC)
    record_queue_length(engine, RUNS, 7, now - timedelta(minutes=1))
    record_queue_length(engine, RUNS, 4, now - timedelta(minutes=1))
    assert exported(settings)["run_queue_runs"] == {(): 4.0}
    record_queue_length(engine, RUNS, 4, now - timedelta(minutes=6))
    found = exported(settings)
    assert "run_queue_runs" not in found
    seen = (now - timedelta(minutes=6)).timestamp()
    assert found["orchestrator_seen_timestamp_seconds"] == {(): pytest.approx(seen)}
    record_queue_length(engine, RUNS, 4, now - timedelta(days=8))
    assert "orchestrator_seen_timestamp_seconds" not in exported(settings), "no daemon is used any more"
    engine.dispose()


@pytest.mark.servers
def test_the_tasks_in_queues_of_celery_are_counted_with_every_priority(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path, watch=WatchSettings(celery=CelerySettings(queues=("dagster", "gpu"))))
    monkeypatch.setenv("CELERY_BROKER_URL", redis_url)
    with redis.Redis.from_url(redis_url) as broker:
        broker.rpush("dagster", "a", "b")
        broker.rpush("dagster\x06\x163", "c")
        broker.rpush("dagster\x06\x169", "d")
    assert exported(settings)["executor_queue_tasks"] == {("dagster",): 4.0, ("gpu",): 0.0}


@pytest.mark.parametrize("url", ["amqp://host", "", "redis://127.0.0.1:1/0"])
def test_a_broker_that_can_not_be_read_is_a_failed_subject(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    found = exported(Settings(home=tmp_path, watch=WatchSettings(celery=CelerySettings(queues=("dagster",)))))
    assert found["fact_failed"]["executor_queue",] == 1.0
    assert "executor_queue_tasks" not in found
