"""Incidents that Alertmanager and the orchestrator report: silences hold for them as for the watch's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, Engine, select

from support.watch_rules import small_rule
from tastemaker.channel_settings import WebhookChannelSettings
from tastemaker.errors import TastemakerError
from tastemaker.monitoring.job_runs import record_job_run
from tastemaker.storage.tables import alert_outbox
from tastemaker.watch import records, reported_incidents
from tastemaker.watch.alertmanager import apply_webhook
from tastemaker.watch.database_thread import DatabaseThread
from tastemaker.watch.failed_runs import FailedRun, close_failed_runs, report_failed_runs
from tastemaker.watch.incident import Changes
from tastemaker.watch.interventions import acknowledge, end_silence, matchers_of, silence
from tastemaker.watch.reported_incidents import notify_reported
from tastemaker.watch.routing import Routing
from tastemaker.watch.rows import database_now
from tastemaker.watch.store import WatchStore
from tastemaker.watch_settings import WatchSettings

NOW = datetime.now(UTC)
CHANNELS = {
    name: WebhookChannelSettings(type="webhook", url="http://localhost:1") for name in ("chat", "mail")
}
SETTINGS = WatchSettings(channels=CHANNELS)
ROUTING = Routing.of(SETTINGS)
RULES = (small_rule("slow"),)


def send(engine: Engine, status: str, routing: Routing = ROUTING, **labels: str) -> int:
    """Send an alert as Alertmanager does, again and again while it fires."""
    alert = {
        "status": status,
        "labels": {"alertname": "TastemakerSlow", "severity": "page", "model": "a"} | labels,
        "startsAt": (NOW - timedelta(minutes=5)).isoformat(),
    }
    body = json.dumps({"version": "4", "alerts": [alert]}).encode()
    return apply_webhook(engine, body, RULES, routing, now=NOW.timestamp())


def fail(engine: Engine) -> int:
    found = FailedRun("run-1", "nightly", "models/a", "out of memory", NOW - timedelta(minutes=5))
    return report_failed_runs(engine, SETTINGS, [found.run_id], lambda _: found)


def succeed(engine: Engine) -> None:
    record_job_run(engine, "run-2", "nightly", succeeded=True, ended_at=NOW - timedelta(minutes=1))
    close_failed_runs(engine, SETTINGS, NOW)


class Reporter(NamedTuple):
    """Who reports an incident, and ends it."""

    rule: str
    report: Callable[[Engine], object]
    end: Callable[[Engine], object]
    last: tuple[str, ...]
    """The events of an incident that people were notified of and that has ended."""


REPORTERS = {
    "alertmanager": Reporter(
        "slow", lambda engine: send(engine, "firing"), lambda engine: send(engine, "resolved"),
        ("trigger", "resolve"),
    ),
    "orchestrator": Reporter("job_failed", fail, succeed, ("trigger",)),
}  # fmt: skip


@pytest.fixture(params=list(REPORTERS))
def reporter(request: pytest.FixtureRequest) -> Reporter:
    return REPORTERS[request.param]


def messages(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        query = select(alert_outbox.c.event, alert_outbox.c.channel).order_by(alert_outbox.c.id)
        return [(event, channel) for event, channel in connection.execute(query)]


def in_each_channel(*events: str) -> list[tuple[str, str]]:
    return [(event, channel) for event in events for channel in CHANNELS]


def watches(engine: Engine) -> None:
    """Let two watches look, one that evaluates and one for facts, each newly started."""
    for role in ("waits", "facts"):
        DatabaseThread(
            WatchStore(engine, role),
            ROUTING,
            began=lambda states, incidents: None,
            ended=lambda: None,
            written=lambda: None,
            evaluated_at=lambda: None,
            role=role,
        ).work()


def silenced(engine: Engine, reporter: Reporter) -> int:
    """Silence the reporter's rule, and return the silence's number."""
    return silence(engine, {"rule": reporter.rule}, seconds=3_600, by="ada", reason="planned").id


def test_what_a_silence_keeps_back_is_notified_once_when_it_ends(engine: Engine, reporter: Reporter) -> None:
    number = silenced(engine, reporter)
    for _ in range(3):
        reporter.report(engine)
        watches(engine)
    assert messages(engine) == []
    assert not records.incident(engine, 1).notified
    end_silence(engine, number)
    for _ in range(2):
        watches(engine)
        reporter.report(engine)
    assert messages(engine) == in_each_channel("trigger")
    assert records.incident(engine, 1).notified
    reporter.end(engine)
    watches(engine)
    assert messages(engine) == in_each_channel(*reporter.last)


def test_the_next_report_after_the_silence_is_enough(engine: Engine, reporter: Reporter) -> None:
    """A watch that was started again need not have looked."""
    number = silenced(engine, reporter)
    reporter.report(engine)
    end_silence(engine, number)
    send(engine, "firing", model="b")
    assert messages(engine)[: len(CHANNELS)] == in_each_channel("trigger")


@pytest.mark.parametrize("act", ["end", "acknowledge"])
def test_what_ended_or_was_acknowledged_during_its_silence_is_never_notified(
    engine: Engine, reporter: Reporter, act: str
) -> None:
    number = silenced(engine, reporter)
    reporter.report(engine)
    if act == "end":
        reporter.end(engine)
    else:
        acknowledge(engine, 1, "ada")
    end_silence(engine, number)
    watches(engine)
    reporter.report(engine)
    assert messages(engine) == []


def test_a_silence_that_begins_later_keeps_no_end_back(engine: Engine, reporter: Reporter) -> None:
    reporter.report(engine)
    silenced(engine, reporter)
    reporter.end(engine)
    watches(engine)
    assert messages(engine) == in_each_channel(*reporter.last)


def test_a_silence_holds_for_the_alerts_whose_labels_match(engine: Engine) -> None:
    silence(engine, {"rule": "slow", "model": "a"}, seconds=3_600, by="ada", reason="planned")
    silence(engine, {"rule": "DiskFull", "disk": "1"}, seconds=3_600, by="ada", reason="planned")
    assert send(engine, "firing", model="a") == 1
    assert send(engine, "firing", model="b") == 1
    assert send(engine, "firing", alertname="DiskFull", disk="1") == 1
    assert send(engine, "firing", alertname="DiskFull", disk="2") == 1
    found = {number: records.incident(engine, number) for number in range(1, 5)}
    assert [number for number, one in found.items() if one.notified] == [2, 4]


def test_what_ends_while_it_is_about_to_be_notified_is_not(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = silence(engine, {"rule": "slow"}, seconds=3_600, by="ada", reason="planned").id
    send(engine, "firing")
    end_silence(engine, number)

    def resolved_meanwhile(connection: Connection) -> datetime:
        monkeypatch.setattr(reported_incidents, "database_now", database_now)
        send(engine, "resolved")
        return database_now(connection)

    monkeypatch.setattr(reported_incidents, "database_now", resolved_meanwhile)
    assert notify_reported(engine, ROUTING) == 0
    assert messages(engine) == []


def test_what_is_notified_while_it_is_about_to_end_has_both_messages(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = silence(engine, {"rule": "slow"}, seconds=3_600, by="ada", reason="planned").id
    send(engine, "firing")
    end_silence(engine, number)
    write = WatchStore.write

    def notified_before(self: WatchStore, changes: Changes, **options: Any) -> None:
        assert notify_reported(engine, ROUTING) == 1
        write(self, changes, **options)

    monkeypatch.setattr(WatchStore, "write", notified_before)
    send(engine, "resolved")
    assert messages(engine) == in_each_channel("trigger", "resolve")
    assert records.incident(engine, 1).notified


def test_where_alertmanager_notifies_people_its_incidents_can_not_be_silenced_here(engine: Engine) -> None:
    silent = WatchSettings()
    send(engine, "firing", Routing.of(silent), alertname="Odd", rule="its own label", team="shop")
    record = records.incident(engine, 1)
    with pytest.raises(
        TastemakerError, match=r"incident 1 by Alertmanager, which knows no silence"
    ) as caught:
        matchers_of(record, silent)
    assert "amtool silence add" in str(caught.value.fix)
    found = matchers_of(record, SETTINGS)
    assert found == {"rule": "Odd", "model": "a", "team": "shop"}
    silence(engine, found, seconds=60, by="ada", reason="planned")
    assert notify_reported(engine, ROUTING) == 0
