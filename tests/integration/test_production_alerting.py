"""The same faults in both modes: the watch by itself, and real Prometheus and Alertmanager with our files.

Both page once per fault, resolve once, and show the same incidents. Times are those of deploy/, but for how
long an alert is kept firing and how long Alertmanager waits between two messages of one alert.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine

from support.pagerduty_server import ROUTING_KEY, PagerDutyServer
from support.prometheus_servers import alertmanager, prometheus, read_yaml, write_yaml
from support.repository import ROOT
from support.scripted_exporter import ScriptedExporter
from support.scripted_http import ScriptedServer
from support.servers import free_port
from support.watched_pages import wait_until
from tastemaker.alerting import generate
from tastemaker.alerting.rule import Rule
from tastemaker.alerting.rules import all_rules
from tastemaker.channel_settings import PagerDutyChannelSettings
from tastemaker.notifications.channels import open_channels
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.util.beat_file import read_beat
from tastemaker.watch import records
from tastemaker.watch.pages import PageServer
from tastemaker.watch.signed_links import SignedLinks, watch_key
from tastemaker.watch.watcher import Watcher

pytestmark = [pytest.mark.servers, pytest.mark.slow]

FAULTS = {"fallback_share": "page", "spool_backlog": "page", "swap_refused": "ticket"}
"""Rule -> severity of the faults, of three causes."""
PAGES = {"TastemakerFallbackShare", "TastemakerSpoolBacklog"}
KEPT_SECONDS = 5
"""How long an alert is kept firing here; 2 minutes in the files."""
OFTEN = "2s"
"""How often Alertmanager sends changes of one alert here; 15 to 30 seconds in the files."""


def short_rules() -> tuple[Rule, ...]:
    """The rules, each kept firing for a short time only."""
    rules = all_rules(Settings())
    return tuple(
        replace(rule, keep_firing_seconds=min(rule.keep_firing_seconds, KEPT_SECONDS)) for rule in rules
    )


def settings_of(home: Path, **watch: Any) -> Settings:
    return Settings(home=home, watch={"port": free_port(), **watch})


@contextmanager
def watching(settings: Settings, *, facts_only: bool) -> Iterator[tuple[Watcher, Engine]]:
    """A watch with its pages; its channels are those of the settings."""
    engine = open_engine(settings.metadata_url)
    watcher = Watcher(
        settings,
        engine,
        short_rules(),
        open_channels(settings),
        services=list,
        facts=str,
        links=SignedLinks(settings.watch.base_url, watch_key(settings.home)),
        facts_only=facts_only,
    )
    pages = PageServer(watcher)
    pages.start()
    thread = Thread(target=watcher.run)
    thread.start()
    try:
        yield watcher, engine
    finally:
        watcher.stop()
        thread.join(30)
        pages.close()
        engine.dispose()
        assert not thread.is_alive()


def rule_files(folder: Path) -> Path:
    """Write deploy's rule files with a shorter `keep_firing_for`; return a pattern of their paths."""
    folder.mkdir()
    for path in sorted((ROOT / generate.RULES).glob("*.yml")):
        document = read_yaml(path)
        for group in document["groups"]:
            for rule in group["rules"]:
                if "keep_firing_for" in rule:
                    rule["keep_firing_for"] = f"{KEPT_SECONDS}s"
        write_yaml(folder / path.name, document)
    return folder / "*.yml"


def alertmanager_file(folder: Path, *, pager: str, chat: str, watch: str, heartbeat: str) -> Path:
    """deploy's configuration, with these addresses and shorter intervals."""
    document = read_yaml(ROOT / generate.ALERTMANAGER / "alertmanager.yml")
    (folder / "routing_key").write_text(ROUTING_KEY)
    (folder / "slack_url").write_text(chat)
    by_name = {receiver["name"]: receiver for receiver in document["receivers"]}
    by_name["pager"]["pagerduty_configs"][0] |= {
        "url": pager,
        "routing_key_file": str(folder / "routing_key"),
    }
    by_name["tickets"]["slack_configs"][0]["api_url_file"] = str(folder / "slack_url")
    by_name["watch"]["webhook_configs"][0]["url"] = watch
    by_name["heartbeat"]["webhook_configs"][0]["url"] = heartbeat
    for route in document["route"]["routes"]:
        if route["receiver"] in ("pager", "watch"):
            route["group_interval"] = OFTEN
    return write_yaml(folder / "alertmanager.yml", document)


class Modes(NamedTuple):
    """Both modes, watching one exporter."""

    exporter: ScriptedExporter
    own_pager: PagerDutyServer
    """What the watch pages by itself."""
    pager: PagerDutyServer
    """What Alertmanager pages."""
    own_chat: ScriptedServer
    chat: ScriptedServer
    heartbeat: ScriptedServer
    own: Engine
    mirrored: Engine
    """The database of the watch that Alertmanager calls."""
    homes: tuple[Path, Path]


@pytest.fixture
def modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modes]:
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", ROUTING_KEY)
    for name in ("own", "mirrored", "prometheus", "alertmanager"):
        (tmp_path / name).mkdir()
    examples = [rule.example for rule in all_rules(Settings()) if rule.name in FAULTS]
    with ExitStack() as stack:
        exporter = stack.enter_context(ScriptedExporter(*[one for one in examples if one is not None]))
        own_pager, pager = (stack.enter_context(PagerDutyServer()) for _ in range(2))
        own_chat, chat, heartbeat = (stack.enter_context(ScriptedServer()) for _ in range(3))
        channel = PagerDutyChannelSettings(type="pagerduty", url=own_pager.events_url)
        own = settings_of(
            tmp_path / "own",
            targets=[f"http://{exporter.target}"],
            channels={
                "pager": channel.model_dump(),
                "chat": {"type": "webhook", "url": own_chat.url},
            },
            page=["pager"],
            ticket=["chat"],
        )
        mirrored = settings_of(tmp_path / "mirrored")
        _, own_engine = stack.enter_context(watching(own, facts_only=False))
        _, mirrored_engine = stack.enter_context(watching(mirrored, facts_only=True))
        manager = stack.enter_context(
            alertmanager(
                tmp_path / "alertmanager",
                alertmanager_file(
                    tmp_path,
                    pager=pager.events_url,
                    chat=chat.url,
                    watch=f"{mirrored.watch.base_url}/api/alerts",
                    heartbeat=heartbeat.url,
                ),
            )
        )
        stack.enter_context(
            prometheus(
                tmp_path / "prometheus",
                rule_files(tmp_path / "rules"),
                jobs={
                    own.alerts.job: [exporter.target],
                    "tastemaker_watch": [f"127.0.0.1:{mirrored.watch.port}"],
                },
                alertmanager=manager.removeprefix("http://"),
            )
        )
        yield Modes(
            exporter,
            own_pager,
            pager,
            own_chat,
            chat,
            heartbeat,
            own_engine,
            mirrored_engine,
            (own.home, mirrored.home),
        )


def incidents(engine: Engine) -> dict[str, tuple[str, str, str]]:
    """Return key -> rule, severity and state of all incidents."""
    found = records.incidents(engine, only_open=False)
    return {one.key: (one.rule, one.severity, one.state) for one in found}


def test_both_modes_page_once_resolve_once_and_show_the_same(modes: Modes) -> None:
    both = (modes.own_pager, modes.pager)
    wait_until(lambda: len(modes.heartbeat.received) > 0, 60, lambda: "the watchdog does not fire")
    modes.exporter.become("faulty")
    wait_until(
        lambda: len(incidents(modes.own)) == len(incidents(modes.mirrored)) == len(FAULTS),
        120,
        lambda: (incidents(modes.own), incidents(modes.mirrored)),
    )
    firing = incidents(modes.own)
    assert firing == incidents(modes.mirrored)
    assert sorted(firing.values()) == sorted((rule, severity, "open") for rule, severity in FAULTS.items())
    wait_until(
        lambda: all(len(one.open_alerts) == 2 for one in both), 30, lambda: [one.alerts for one in both]
    )
    wait_until(lambda: bool(modes.chat.received), 60, lambda: "Alertmanager sends no ticket")
    modes.exporter.become("healthy")
    wait_until(lambda: not any(one.open_alerts for one in both), 180, lambda: [one.alerts for one in both])
    over = {
        key: (rule, severity, "over" if severity == "page" else "open")
        for key, (rule, severity, _) in firing.items()
    }
    wait_until(lambda: incidents(modes.mirrored) == over, 30, lambda: incidents(modes.mirrored))
    assert incidents(modes.own) == over, "a version that was refused is one for ten minutes"
    for pager in both:
        assert pager.invalid == []
        assert len(pager.alerts) == 2
        for alert in pager.alerts:
            assert [event["event_action"] for event in alert.events] == ["trigger", "resolve"]
            assert alert.severity == "critical"
    assert {alert.events[0]["payload"]["class"] for alert in modes.pager.alerts} == PAGES
    assert len(modes.own_chat.received) == 1
    for pager in both:
        words = r"ease: [\d.]+% of lists are not the model's"
        [alert] = [one for one in pager.alerts if re.fullmatch(words, one.summary)]
    [alert] = [one for one in modes.own_pager.alerts if "lists" in one.summary]
    details = alert.events[0]["payload"]["custom_details"]
    assert any("model_error" in one and "in place of the model" in one for one in details["details"])
    assert any(one.startswith("tastemaker log search model:ease") for one in details["commands"])
    beats = [request.at for request in modes.heartbeat.received]
    assert all(after - before < 90 for before, after in pairwise(beats)), "it is called every minute"
    assert all((read_beat(home) or 0) > time.time() - 60 for home in modes.homes)
