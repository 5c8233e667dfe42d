"""`tastemaker erasure`: what is printed of a request, and the exit status of an overdue one."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from tastemaker.cli.erasure import erasure
from tastemaker.cli.forget import forget
from tastemaker.privacy.erasure_requests import ErasureRequests
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import erasure_requests

BY = ("--by", "ada")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(erasure, words)


def test_a_request_from_its_entry_to_its_proof(home: Path) -> None:
    assert run("list").output == "no request is open\n"
    entered = run("request", "customer-17850", "--reason", "ticket 4711", *BY).output
    assert entered.startswith("erasure request 1: waiting\n")
    assert "tastemaker erasure approve 1 --reason REASON" in entered
    assert "1  waiting  due " in run("list").output
    approved = json.loads(run("approve", "1", "--reason", "identity checked", *BY, "--json").output)
    assert (approved["state"], approved["decided_by"], approved["overdue"]) == ("approved", "ada", False)
    assert "by tastemaker flows serve" in run("show", "1").output
    ErasureRequests(Settings(home=home)).execute(1)
    shown = run("show", "1").output
    assert shown.startswith("erasure request 1: done\n")
    assert "searched afterwards: nothing remains" in shown
    assert "17850" not in entered + shown
    assert run("list").output == "no request is open\n"
    [listed] = json.loads(run("list", "--all", "--json").output)
    assert (listed["number"], listed["state"], listed["remains"]) == (1, "done", [])


def test_where_the_user_remains_is_shown(home: Path) -> None:
    (home / "mine.csv").write_text("customer-17850\n")
    run("request", "customer-17850", "--reason", "ticket 4711", *BY)
    run("approve", "1", "--reason", "identity checked", *BY)
    ErasureRequests(Settings(home=home)).execute(1)
    shown = run("show", "1").output
    assert "attempts   1, the newest: the user remains in" in shown
    assert "remains    mine.csv: 1 bytes" in shown


def test_a_direct_erasure_names_the_open_request_that_holds_the_id(home: Path) -> None:
    (home / "run.jsonl").write_text('{"user": "customer-17850"}\n')
    run("request", "customer-17850", "--reason", "ticket 4711", *BY)
    result = CliRunner().invoke(forget, ["customer-17850"])
    assert result.exit_code == 1
    assert "remains   erasure_requests/1.json: 1 text" in result.stdout
    assert result.stderr.endswith("fix: tastemaker erasure list, then approve or decline it\n")
    run("decline", "1", "--reason", "erased already", *BY)
    assert CliRunner().invoke(forget, ["customer-17850"]).exit_code == 0


def test_an_overdue_request_is_the_exit_status(home: Path) -> None:
    run("request", "customer-17850", "--reason", "ticket 4711", *BY)
    assert run("list").exit_code == 0
    found = ErasureRequests(Settings(home=home)).get(1)
    engine = open_engine(Settings(home=home).metadata_url)
    with engine.begin() as connection:
        late = found.requested_at - timedelta(days=1)
        connection.execute(update(erasure_requests).values(due_at=late))
    listed = run("list")
    assert (listed.exit_code, "waiting, overdue" in listed.output) == (1, True)
    assert json.loads(run("list", "--json").output)[0]["overdue"]
    run("decline", "1", "--reason", "not the owner", *BY)
    assert run("list", "--all").exit_code == 0
