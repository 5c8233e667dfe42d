"""Failed runs of the orchestrator are incidents, each with one message per channel."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from support.recording_channel import RecordingChannel
from tastemaker.channel_settings import WebhookChannelSettings
from tastemaker.monitoring.job_runs import record_job_run
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.watch import records
from tastemaker.watch.delivery import Deliveries, occurred_at
from tastemaker.watch.failed_runs import FailedRun, close_failed_runs, report_failed_runs
from tastemaker.watch.interventions import end_silence, silence
from tastemaker.watch.message import compose
from tastemaker.watch.reported_incidents import notify_reported
from tastemaker.watch.routing import Routing
from tastemaker.watch.signed_links import SignedLinks
from tastemaker.watch_settings import WatchSettings

NOW = datetime.now(UTC)
CHANNELS = ("chat", "mail")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    yield engine
    engine.dispose()


def settings() -> WatchSettings:
    channels = {name: WebhookChannelSettings(type="webhook", url="http://localhost:1") for name in CHANNELS}
    return WatchSettings(channels=channels, page=("chat",))


def failed(number: int, ended_at: datetime = NOW) -> FailedRun:
    return FailedRun(
        f"run-{number}", "everything", f"models/m{number}", "out of\n memory", ended_at, starts=3
    )


def report(engine: Engine, *runs: FailedRun) -> int:
    by_id = {run.run_id: run for run in runs}
    return report_failed_runs(engine, settings(), [*by_id], by_id.__getitem__)


def deliver(engine: Engine) -> dict[str, RecordingChannel]:
    channels = {name: RecordingChannel(name) for name in CHANNELS}
    Deliveries(
        engine,
        channels,
        compose=lambda record, claimed: compose(
            record,
            claimed.event,
            delivery_id=claimed.delivery_id,
            occurred_at=occurred_at(claimed),
            value=None,
            settings=Settings(),
            links=SignedLinks("http://watch", b"k" * 32),
        ),
        counted=lambda channel, outcome: None,
        timeouts={},
    ).deliver_all()
    return channels


@pytest.mark.slow
def test_two_hundred_failures_are_one_message_each_in_every_channel(engine: Engine) -> None:
    runs = [failed(number) for number in range(200)]
    assert report(engine, *runs[:120]) == 120
    assert report(engine, *runs) == 80, "those of before are known"
    for channel in deliver(engine).values():
        assert sorted(dict(one.labels)["run_id"] for one in channel.attempts) == sorted(
            run.run_id for run in runs
        )
        assert {one.event for one in channel.attempts} == {"trigger"}
    assert deliver(engine)["chat"].attempts == []


def test_a_message_names_asset_reason_tries_and_the_command_to_see_it(engine: Engine) -> None:
    report(engine, failed(7))
    [message] = deliver(engine)["mail"].attempts
    assert message.summary == "everything: models/m7 failed: out of memory"
    assert "It was started 3 times" in message.condition
    assert "tastemaker runs show run-7" in message.commands
    assert message.started_at == NOW
    assert any(link.url.endswith("job_failed.md") or link.title == "Incident" for link in message.links)


def test_a_run_that_needs_no_message_has_none(engine: Engine) -> None:
    assert report_failed_runs(engine, settings(), ["refused"], lambda _: None) == 0
    assert records.incidents(engine) == []


def test_a_silence_of_the_rule_holds_for_failed_runs(engine: Engine) -> None:
    silence(engine, {"rule": "job_failed", "asset": "models/m1"}, seconds=60, by="me", reason="known")
    report(engine, failed(1), failed(2))
    assert [dict(one.labels)["asset"] for one in deliver(engine)["chat"].attempts] == ["models/m2"]
    assert len(records.incidents(engine)) == 2, "it is listed all the same"


def test_a_later_success_of_the_job_ends_it_without_a_message(engine: Engine) -> None:
    report(engine, failed(1), failed(2, NOW + timedelta(hours=2)))
    deliver(engine)
    record_job_run(engine, "sound", "everything", succeeded=True, ended_at=NOW + timedelta(hours=1))
    close_failed_runs(engine, settings(), NOW + timedelta(hours=3))
    assert [dict(one.labels)["run_id"] for one in records.incidents(engine)] == ["run-2"]
    close_failed_runs(engine, settings(), NOW + timedelta(days=2))
    assert records.incidents(engine) == []
    assert deliver(engine)["chat"].attempts == []


def test_a_run_that_is_silenced_for_days_stays_open_until_a_day_after_its_message(engine: Engine) -> None:
    made = silence(engine, {"rule": "job_failed"}, seconds=7 * 86_400, by="me", reason="known")
    report(engine, failed(1, NOW - timedelta(days=3)))
    close_failed_runs(engine, settings(), NOW)
    assert len(records.incidents(engine)) == 1
    end_silence(engine, made.id)
    close_failed_runs(engine, settings(), NOW)
    assert len(records.incidents(engine)) == 1, "also if the watch looks only later"
    assert notify_reported(engine, Routing.of(settings())) == 1
    assert [len(channel.attempts) for channel in deliver(engine).values()] == [1, 1]
    close_failed_runs(engine, settings(), NOW + timedelta(hours=23))
    assert len(records.incidents(engine)) == 1
    close_failed_runs(engine, settings(), NOW + timedelta(hours=25))
    assert records.incidents(engine) == []


def test_without_a_channel_a_run_is_open_for_a_day(engine: Engine) -> None:
    report_failed_runs(engine, WatchSettings(), ["run-1"], lambda _: failed(1))
    close_failed_runs(engine, WatchSettings(), NOW + timedelta(hours=23))
    assert len(records.incidents(engine)) == 1
    close_failed_runs(engine, WatchSettings(), NOW + timedelta(hours=25))
    assert records.incidents(engine) == []
