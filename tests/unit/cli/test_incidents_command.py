"""The commands about incidents: list, show, ack, silence, silences, history and test."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from support.recording_channel import RecordingChannel
from support.watch_rules import A, machine, reading, small_rule
from tastemaker.cli.alerts import alerts
from tastemaker.errors import TastemakerError
from tastemaker.notifications import channels
from tastemaker.notifications.notification import Delivery
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_incidents
from tastemaker.watch.store import WatchStore


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one open incident."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    engine = open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}")
    one = machine(small_rule("slow"))
    WatchStore(engine, "test").write(one.step({"slow": reading([A])}, time.time()).copied())
    engine.dispose()
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(alerts, words)


def end_incident(home: Path) -> None:
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    store = WatchStore(engine, "test")
    one = machine(small_rule("slow"))
    one.restore(*store.load(), time.time())
    store.write(one.step({"slow": reading(quiet=[A])}, time.time() + 60).copied())
    engine.dispose()


def test_an_incident_is_listed_shown_and_acknowledged() -> None:
    assert "1  page  open" in run("list").output
    (listed,) = json.loads(run("list", "--json").output)
    assert (listed["number"], listed["rule"], listed["labels"]) == (1, "slow", {"model": "a"})
    assert run("ack", "1", "--by", "ada").output == "incident 1 is acknowledged\n"
    assert run("ack", "1").output == "incident 1 was already acknowledged\n"
    shown = run("show", "1").output
    assert "acknowledged by ada" in shown
    assert "trigger to pager: waiting" in shown
    assert [line["text"] for line in json.loads(run("show", "1", "--json").output)["history"]][-1] == (
        "acknowledged by ada"
    )


def test_history_has_what_ended_and_how_long_it_took(home: Path) -> None:
    end_incident(home)
    assert run("list").output == "no incident is open\n"
    assert "1  page  over" in run("history").output
    assert " for 1m 0s" in run("history").output
    (listed,) = json.loads(run("list", "--all", "--json").output)
    assert listed["ending"] == "its condition is no longer true"


def test_a_silence_is_made_listed_and_ended() -> None:
    made = json.loads(
        run("silence", "rule=slow", "model=a", "--for", "2h", "--reason", "test", "--json").output
    )
    assert made["matchers"] == {"rule": "slow", "model": "a"}
    assert "silence 2 until" in run("silence", "--incident", "1", "--for", "30m", "--reason", "fix").output
    assert [one["number"] for one in json.loads(run("silences", "--json").output)] == [2, 1]
    assert "1  rule=slow, model=a  until" not in run("silences", "--end", "1").output
    assert "ended" in run("silences", "--all").output
    assert run("silences", "--end", "2").output == "no silence\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "7"), "there is no incident 7"),
        (("ack", "7"), "there is no incident 7"),
        (("silence", "--incident", "7", "--for", "2h", "--reason", "x"), "there is no incident 7"),
        (("silence", "--for", "2h", "--reason", "x"), "would silence every alert"),
        (("silence", "slow", "--for", "2h", "--reason", "x"), "'slow' is not LABEL=VALUE"),
        (("silence", "severity=page", "--for", "2h", "--reason", "x"), "would silence nothing"),
        (("silence", "alertname=Slow", "--for", "2h", "--reason", "x"), "would silence nothing"),
        (("silence", "rule=slow", "--reason", "x"), "a silence needs an end"),
        (("silence", "rule=slow", "--for", "2", "--reason", "x"), "--for '2' is not a duration"),
        (("silence", "rule=slow", "--for", "8d", "--reason", "x"), "at most 7 days"),
        (("silence", "rule=slow", "--until", "noon", "--reason", "x"), "is not a time"),
        (("silence", "rule=slow", "--until", "2020-01-01", "--reason", "x"), "is in the past"),
        (("silence", "rule=slow", "--for", "2h", "--reason", ""), "needs a reason"),
        (("silences", "--end", "9"), "there is no silence 9"),
        (("history", "--days", "0"), "--days is 0"),
        (("test",), "there is no channel"),
    ],
)
def test_mistakes_are_errors_that_say_how(words: tuple[str, ...], message: str) -> None:
    error = run(*words).exception
    assert isinstance(error, TastemakerError)
    assert message in str(error)
    assert error.fix


def test_what_alertmanager_notifies_people_of_can_not_be_silenced_here(home: Path) -> None:
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    with engine.begin() as connection:
        connection.execute(update(alert_incidents).values(source="alertmanager"))
    engine.dispose()
    found = run("silence", "--incident", "1", "--for", "2h", "--reason", "x")
    assert isinstance(found.exception, TastemakerError)
    assert "people are notified of incident 1 by Alertmanager" in found.exception.problem
    assert run("silences", "--all").output == "no silence\n"


def test_what_ended_can_neither_be_acknowledged_nor_silenced(home: Path) -> None:
    end_incident(home)
    for words in [("ack", "1"), ("silence", "--incident", "1", "--for", "2h", "--reason", "x")]:
        assert "incident 1 ended at" in str(run(*words).exception)


def test_a_test_goes_through_every_channel_and_its_failure_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = RecordingChannel("team")
    bad = RecordingChannel("pager", lambda _: Delivery("rejected", "400 invalid key"))
    monkeypatch.setattr(channels, "open_channels", lambda settings: {"team": good, "pager": bad})
    sent = run("test", "--channel", "team", "--json")
    assert sent.exit_code == 0
    assert [(one["event"], one["outcome"]) for one in json.loads(sent.output)] == [
        ("trigger", "sent"),
        ("resolve", "sent"),
    ]
    assert good.attempts[0].key == good.attempts[1].key
    assert good.attempts[0].delivery_id != good.attempts[1].delivery_id
    both = run("test")
    assert both.exit_code == 1
    assert "pager  trigger  rejected  400 invalid key" in both.output
    assert "did you mean pager" in str(run("test", "--channel", "pagr").exception)
