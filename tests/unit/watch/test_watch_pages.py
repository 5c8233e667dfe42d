"""The alerts' pages: who may read and act, what a signed link allows, and Alertmanager's webhook."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx
import pytest
from sqlalchemy import Engine, select

from support.recording_channel import RecordingChannel
from support.watch_rules import A, machine, reading, small_rule
from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_outbox
from tastemaker.watch import records
from tastemaker.watch.pages import application
from tastemaker.watch.signed_links import KEY_VARIABLE, LINK_SECONDS, SignedLinks, watch_key
from tastemaker.watch.store import WatchStore
from tastemaker.watch.watcher import Watcher
from tastemaker.watch_settings import WatchSettings

LINKS = SignedLinks("https://watch.shop.example", b"k" * 32)
RULES = (small_rule("slow"), small_rule("watchdog", severity="none", labels=()))
LOCAL, PUBLIC = "http://127.0.0.1:3080", "https://watch.shop.example"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def watcher(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=tmp_path, watch=WatchSettings(public_url=PUBLIC))
    found = Watcher(
        settings,
        engine,
        RULES,
        {"pager": RecordingChannel("pager")},
        services=list,
        facts=str,
        links=LINKS,
    )
    WatchStore(engine, "test").write(
        machine(*RULES).step({"slow": reading([A])}, time.time()), with_lease=False
    )
    return found


class Client:
    """Requests to the pages, as from an address."""

    def __init__(self, watcher: Watcher, base_url: str, address: str) -> None:
        self._base_url = base_url
        self._transport = httpx.ASGITransport(application(watcher), client=(address, 50_000))

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._sent("GET", path))

    def post(self, path: str, **content: Any) -> httpx.Response:
        return asyncio.run(self._sent("POST", path, **content))

    async def _sent(self, method: str, path: str, **content: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url=self._base_url) as client:
            return await client.request(method, path, **content)


def client(watcher: Watcher, base_url: str = LOCAL, address: str = "127.0.0.1") -> Client:
    return Client(watcher, base_url, address)


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def test_pages_are_well_formed_and_name_the_incident(watcher: Watcher) -> None:
    local = client(watcher)
    for path, text in [("/alerts", "1 open, 1 of them pages."), ("/alerts/1", "slow is above 0."),
                       ("/alerts/1/silence", "For how many hours")]:  # fmt: skip
        answer = local.get(path)
        assert answer.status_code == 200
        assert text in answer.text
        ElementTree.fromstring(answer.text.partition("\n")[2])
        assert "<script" not in answer.text
        assert answer.headers["cache-control"] == "no-store"
    assert local.get("/").headers["location"] == "/alerts"
    assert local.get("/alerts/7").status_code == 404
    assert "there is no incident 7" in local.get("/alerts/7").json()["detail"]
    assert local.get("/alerts/1/delete").status_code == 404


def test_a_person_at_this_machine_may_acknowledge_and_silence(watcher: Watcher, engine: Engine) -> None:
    local = client(watcher)
    answer = local.post("/alerts/1/acknowledge", data={"by": "ada"})
    assert "Acknowledged by ada." in answer.text
    assert records.incident(engine, 1).acknowledged_by == "ada"
    assert "acknowledged before" in local.post("/alerts/1/acknowledge", data={"by": "bob"}).text
    silenced = local.post("/alerts/1/silence", data={"by": "ada", "hours": "2", "reason": "load test"})
    assert "Silenced until" in silenced.text
    (silence,) = records.silences(engine)
    assert (silence.matchers, silence.reason) == ({"rule": "slow", "model": "a"}, "load test")
    for hours in ("", "200", "-1", "nan"):
        refused = local.post("/alerts/1/silence", data={"hours": hours, "reason": "x"})
        assert refused.status_code == 400, hours


def test_elsewhere_a_signed_link_allows_one_action_on_one_incident_until_it_expires(
    watcher: Watcher, engine: Engine
) -> None:
    away = client(watcher, PUBLIC, "203.0.113.9")
    good = path_of(LINKS.action(1, "acknowledge"))
    assert away.get(good).status_code == 200
    assert records.incident(engine, 1).acknowledged_at is None, "a link that is only looked at does nothing"
    wrong = {
        "no signature": "/alerts/1/acknowledge",
        "another incident": good.replace("/alerts/1/", "/alerts/2/"),
        "another action": good.replace("acknowledge", "silence"),
        "a later end": good.replace("expires=", "expires=9"),
        "another key": path_of(SignedLinks(PUBLIC, b"x" * 32).action(1, "acknowledge")),
        "expired": path_of(LINKS.action(1, "acknowledge", now=time.time() - LINK_SECONDS - 5)),
        "not a number": good.replace("expires=", "expires=x"),
    }
    for what, path in wrong.items():
        assert away.get(path).status_code == 403, what
        assert away.post(path, data={"by": "eve"}).status_code == 403, what
    assert away.post(good, data={"by": "ada"}, headers={"Origin": PUBLIC}).status_code == 200
    assert records.incident(engine, 1).acknowledged_by == "ada"


@pytest.mark.parametrize(
    ("base_url", "address", "headers"),
    [
        (LOCAL, "203.0.113.9", {}),
        (LOCAL, "127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}),
        (LOCAL, "127.0.0.1", {"Origin": "https://evil.example"}),
        (LOCAL, "127.0.0.1", {"Sec-Fetch-Site": "cross-site"}),
        ("http://evil.example", "127.0.0.1", {}),
    ],
)
def test_what_others_send_to_this_machine_does_nothing(
    watcher: Watcher, engine: Engine, base_url: str, address: str, headers: dict[str, str]
) -> None:
    """Another machine, a proxy, a page of another site, and a name that leads here (DNS rebinding)."""
    answer = client(watcher, base_url, address).post(
        "/alerts/1/acknowledge", data={"by": "eve"}, headers=headers
    )
    assert answer.status_code in (403, 421)
    assert records.incident(engine, 1).acknowledged_at is None


def webhook(status: str, started: str = "2026-11-29T10:00:00.123456789Z", **labels: str) -> dict[str, Any]:
    """A call as Alertmanager 0.25 makes it."""
    alert = {
        "status": status,
        "labels": {"alertname": "TastemakerSlow", "severity": "page", "model": "z", "instance": "x"} | labels,
        "annotations": {"summary": "z is slow", "runbook": "docs/slow.md"},
        "startsAt": started,
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-29T10:05:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "c0ffee",
    }
    return {"version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": status, "receiver": "watch",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
            "alerts": [alert]}  # fmt: skip


def test_alertmanagers_alerts_are_incidents_each_once(watcher: Watcher, engine: Engine) -> None:
    local = client(watcher)
    for changed in (1, 0, 0):
        assert local.post("/api/alerts", json=webhook("firing")).json() == {"changed": changed}
    found = records.incident(engine, 2)
    assert (found.rule, found.labels, found.source) == ("slow", {"model": "z"}, "alertmanager")
    assert found.summary == "z is slow"
    for changed in (1, 0):
        assert local.post("/api/alerts", json=webhook("resolved")).json() == {"changed": changed}
    assert records.incident(engine, 2).state == "over"
    assert local.post("/api/alerts", json=webhook("firing")).json() == {"changed": 0}, "the same alert, late"
    again = webhook("firing", "2026-11-29T11:00:00Z")
    assert local.post("/api/alerts", json=again).json() == {"changed": 1}
    other = webhook("firing", alertname="DiskOnFire", severity="ticket")
    assert local.post("/api/alerts", json=other).json() == {"changed": 1}, "a rule of another user"
    assert records.incident(engine, 4).rule == "DiskOnFire"
    heart = webhook("firing", alertname="TastemakerWatchdog")
    assert local.post("/api/alerts", json=heart).json() == {"changed": 0}, "it is for machines"


def test_alertmanagers_alerts_are_sent_by_the_channels_that_are_set(
    engine: Engine, watcher: Watcher, tmp_path: Path
) -> None:
    channels = {"pager": {"type": "webhook", "url": "http://127.0.0.1:9"}}
    settings = Settings(home=tmp_path, watch=WatchSettings.model_validate({"channels": channels}))
    sending = Watcher(settings, engine, RULES, {}, services=list, facts=str, links=LINKS, facts_only=True)
    local = client(sending)
    for status in ("firing", "firing", "resolved", "resolved"):
        local.post("/api/alerts", json=webhook(status))
    with engine.connect() as connection:
        query = (
            select(alert_outbox.c.event).where(alert_outbox.c.incident_id == 2).order_by(alert_outbox.c.id)
        )
        assert connection.execute(query).scalars().all() == ["trigger", "resolve"]


def test_only_alertmanager_with_the_key_may_send_alerts_from_elsewhere(watcher: Watcher) -> None:
    away = client(watcher, PUBLIC, "203.0.113.9")
    assert away.post("/api/alerts", json=webhook("firing")).status_code == 403
    wrong = {"Authorization": "Bearer " + "x" * 32}
    assert away.post("/api/alerts", json=webhook("firing"), headers=wrong).status_code == 403
    right = {"Authorization": "Bearer " + "k" * 32}
    assert away.post("/api/alerts", json=webhook("firing"), headers=right).json() == {"changed": 1}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"version": "3", "alerts": []}', b'{"version": "4"}', b"\xff",
     json.dumps({"version": "4", "alerts": [{"status": "odd", "labels": {}}]}).encode()],
)  # fmt: skip
def test_a_call_in_another_form_is_refused(watcher: Watcher, body: bytes) -> None:
    answer = client(watcher).post("/api/alerts", content=body)
    assert answer.status_code == 400
    assert "version 4" in answer.json()["detail"]
    assert client(watcher).post("/api/alerts", content=b" " * (2 << 20)).status_code == 413


def test_metrics_and_health_say_what_the_watch_does(watcher: Watcher) -> None:
    local = client(watcher)
    assert 'tastemaker_watch_outbox_oldest_seconds{channel="pager"} 0.0' in local.get("/metrics").text
    health = local.get("/healthz")
    assert (health.status_code, health.json()["status"]) == (503, "the database can't be used")
    watcher.database.work()
    watcher.tick()
    assert local.get("/healthz").json() == {"status": "ok", "evaluates": True}


def test_the_key_is_made_once_and_no_other_user_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    key = watch_key(tmp_path)
    assert key == watch_key(tmp_path)
    assert len(key) == 64
    path = tmp_path / "watch.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(TastemakerError, match="other users can read"):
        watch_key(tmp_path)
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(TastemakerError, match="has 5 characters, must have at least 32"):
        watch_key(tmp_path)
    monkeypatch.setenv(KEY_VARIABLE, "e" * 40)
    assert watch_key(tmp_path) == b"e" * 40
    assert os.listdir(tmp_path) == ["watch.key"]


def test_an_address_is_a_name_of_this_server_and_another_name_is_not(watcher: Watcher) -> None:
    assert client(watcher, "http://10.1.2.3:3080", "10.1.2.4").get("/healthz").status_code == 503
    assert client(watcher, "http://shop.example:3080", "10.1.2.4").get("/healthz").status_code == 421


def test_texts_with_nul_are_stored(watcher: Watcher, engine: Engine) -> None:
    nul = webhook("firing", alertname="A\0B", severity="page")
    assert client(watcher).post("/api/alerts", json=nul).json() == {"changed": 1}
    assert records.incident(engine, 2).rule == "A\ufffdB"
