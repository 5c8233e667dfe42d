"""`tastemaker digest`: printed, written, sent, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from support.digest_weeks import usual_shop, write
from support.scripted_http import Answer, ScriptedServer
from tastemaker.cli.digest import digest
from tastemaker.errors import TastemakerError
from tastemaker.framing.answers import to_problem
from tastemaker.problem.writing import write_problem
from tastemaker.storage.engine import open_engine

WEEK = "2025-W47"
"""A week that is over."""
ANSWER = "There are no figures of this week: nothing was served, or they were not computed."


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    write_problem(to_problem({}), tmp_path / "problem.yaml")
    opened = open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}")
    yield opened
    opened.dispose()


def run(*words: str) -> Result:
    return CliRunner().invoke(digest, words, catch_exceptions=False)


def test_a_new_shop_has_a_digest_that_says_so() -> None:
    done = run()
    assert done.exit_code == 0
    assert ANSWER in done.output


def test_a_page_and_json_of_a_week(tmp_path: Path) -> None:
    done = run("--week", WEEK, "--output", "page.html")
    assert done.output == "page.html has the digest\n"
    assert ANSWER in (tmp_path / "page.html").read_text("utf-8")
    found = json.loads(run("--week", WEEK, "--json").output)
    assert (found["week"], found["answer"], found["sent"]) == (WEEK, ANSWER, [])
    assert datetime.fromisoformat(found["created_at"]).tzinfo is not None


def test_what_is_sent_is_reported_and_a_failure_is_the_status(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        (tmp_path / "tastemaker.toml").write_text(
            f'[watch.channels.hook]\ntype = "webhook"\nurl = "{server.url}/"\n', "utf-8"
        )
        server.script(Answer(503))
        failed, sent, again = (run("--week", WEEK, "--send") for _ in range(3))
    assert (failed.exit_code, failed.output.split(":")[0]) == (1, "hook")
    assert "hook: retry (503" in failed.output
    assert (sent.exit_code, sent.output.split(" (")[0]) == (0, "hook: sent")
    assert (again.exit_code, again.output.split(" (")[0]) == (0, "hook: sent before")
    assert len(server.received) == 2


def test_mistakes_have_a_fix(engine: Engine) -> None:
    write(engine, *usual_shop())
    future = f"{datetime.now(UTC).year + 1}-W10"
    for words, said in (
        (("--send",), "no channel to send the digest to"),
        (("--week", "last"), "must be a year and a week"),
        (("--week", future), "is not over"),
    ):
        with pytest.raises(TastemakerError, match=said) as caught:
            run(*words)
        assert caught.value.fix
