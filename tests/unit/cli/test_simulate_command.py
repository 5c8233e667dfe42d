"""`tastemaker simulate`: its options are read, and mistakes are plain lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.scripted_http import Answer, ScriptedServer
from support.servers import free_port
from tastemaker.cli.simulate import simulate
from tastemaker.errors import TastemakerError
from tastemaker.simulator.faults.catalogue import FAULTS
from tastemaker.simulator.traffic.client_log import Acknowledged, Answered, Begun, ClientLog
from tastemaker.simulator.traffic.simulation import models_at


def said(*words: str) -> Result:
    return CliRunner().invoke(simulate, list(words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--for", "soon"], "'soon' is not a duration above 0; write 60s, 5m or 1h"),
        (["--for", "0s"], "'0s' is not a duration above 0"),
        (["--fault", "rain"], "'rain' is not one of dropped, repeated"),
        (["--fault", "late=often"], "'often' is not a number"),
        (["--fault", "late=1.5"], "a share must be from 0 to 1"),
        (["--fault", "late="], "'' is not a number"),
        (["--drift", "2"], "--drift"),
        (["--rate", "0"], "--rate"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str) -> None:
    result = said(*words)
    assert result.exit_code == 2
    assert message in result.output


def test_an_unreachable_service_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    result = said(f"http://127.0.0.1:{free_port()}", "--visits", "1")
    assert isinstance(result.exception, TastemakerError)
    assert "nothing answers at http://127.0.0.1" in str(result.exception)
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_service_is_asked_once_whether_it_is_ready_and_what_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    monkeypatch.setenv("TASTEMAKER_SOURCE__OPTIONS", json.dumps({"n_users": 50, "n_items": 20, "n_days": 2}))
    with ScriptedServer() as server:
        server.script(Answer(body=b'{"model": "popularity"}'))
        result = said(server.url, "--visits", "1", "--fault", "nan_scores")
    assert "serves popularity, which does not fail on demand: nan_scores" in str(result.exception)
    assert [one.path for one in server.received] == ["/readyz"]


@pytest.mark.parametrize(
    ("body", "models"),
    [
        ({"model": "a", "version": "1", "status": "ready"}, {"a"}),
        ({"services": [{"name": "x", "model": "a"}, {"name": "y", "model": "b"}], "revision": 1}, {"a", "b"}),
        ({}, set()),
        ("ok", set()),
    ],
)
def test_the_models_behind_an_address_are_those_of_a_service_or_of_a_controller(
    body: object, models: set[str]
) -> None:
    with ScriptedServer() as server:
        server.script(Answer(body=json.dumps(body).encode()))
        assert models_at(server.url, {}) == models


def test_only_a_simulated_shop_has_simulated_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_SOURCE__NAME", "table")
    result = said("--visits", "1")
    assert isinstance(result.exception, TastemakerError)
    assert "source.name is 'table'" in str(result.exception)


def test_a_check_says_what_is_lost_and_ends_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    path = tmp_path / "client_log.jsonl"
    with ClientLog(path) as client_log:
        client_log.note(Begun("run", "http://shop", 0))
        client_log.note(Answered("r1", "u", "model", ["i"]))
        client_log.note(Acknowledged([f"run-0-{number}" for number in range(5)]))
    result = said("--check", str(path))
    assert result.exit_code == 1
    assert "5 events acknowledged, 5 lost, 0 doubled" in result.output
    assert "lost events: run-0-0, run-0-1, run-0-2 and 2 more" in result.output
    found = json.loads(said("--check", str(path), "--json").stdout)
    assert (found["acknowledged"], found["lost_answers"]) == (5, ["r1"])


def test_faults_are_listed_with_the_rules_that_find_them() -> None:
    listed = said("--fault", "list")
    assert listed.exit_code == 0
    assert "TASTEMAKER_SERVING__MAX_WAITING=1" in "".join(listed.output.split())
    found = json.loads(said("--fault", "list", "--json").stdout)
    assert {"nan_scores", "feedback_gone"} <= {fault["name"] for fault in found["faults"]}
    assert "watchdog" in found["not_produced"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("data_stale", "set it in source.options"),
        *(
            (f"{name}=0.1", f"{name} has no share, so '0.1' has no effect; write {name}")
            for name, fault in FAULTS.items()
            if fault.share is None and fault.place not in ("source", "start")
        ),
    ],
)
def test_a_fault_that_a_running_service_can_not_have_says_what_to_do(fault: str, message: str) -> None:
    result = said("--fault", fault)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
