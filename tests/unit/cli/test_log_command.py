"""`tastemaker log` prints a table for people, JSON and CSV for programs, and errors in words."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.request_logs import NOON, click, fill, request
from support.served_homes import make_home
from tastemaker.cli.log import OPTIONS, log
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Item
from tastemaker.log_search.fields import FIELDS
from tastemaker.privacy.pseudonyms import KEY, Pseudonyms

ITEMS = [Item(f"item-{number}", 1.0, 1.0) for number in range(6)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with three logged answers: full, of popular items, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    logged = [
        request(1, items=ITEMS),
        request(2, stage="popular", fallback="model_error", user_id="ann"),
        request(3, items=[], k=10),
    ]
    fill(tmp_path / "spool", logged)
    return tmp_path


def run(*words: str) -> Result:
    """Run `tastemaker log`."""
    return CliRunner().invoke(log, list(words), catch_exceptions=False)


def test_the_table_shows_what_a_person_looks_for() -> None:
    """Newest first: id, time, user, version, stage with the reason of a fallback, and the first items."""
    lines = run("search").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["request", f"{3:032x}", f"{2:032x}", f"{1:032x}"]
    assert lines[1].endswith("none")
    assert "2026-03-01 12:00:02  ann " in lines[2]
    assert "random v1" in lines[2]
    assert "popular (model_error)" in lines[2]
    assert lines[3].endswith("item-0 item-1 item-2 item-3 and 2 more")


def test_options_and_the_query_are_combined() -> None:
    """All must hold."""
    assert json.loads(run("search", "--json", "--user", "ann", "stage:popular").stdout)
    assert json.loads(run("search", "--json", "--user", "ann", "stage:model").stdout) == []
    assert run("search", "user:nemo").stdout == "no logged request matches\n"


def test_every_field_of_one_value_is_an_option() -> None:
    """Numbers are compared in the query only."""
    assert OPTIONS.keys() == FIELDS.keys() - {"items", "k", "ms"}


def test_json_and_csv_have_the_whole_record() -> None:
    """The same in both; a list is JSON in a cell."""
    (row,) = json.loads(run("search", "items>5", "--json").stdout)
    assert row["request_id"] == f"{1:032x}"
    assert row["occurred_at"] == "2026-03-01T12:00:01+00:00"
    assert row["features"] == {"recency_days": None, "orders_per_day": 0.5}
    (cells,) = csv.DictReader(io.StringIO(run("search", "items>5", "--csv").stdout))
    assert {name: json.loads(cells[name]) for name in ("items", "features", "context")} == {
        name: row[name] for name in ("items", "features", "context")
    }
    assert cells["fallback"] == ""
    assert cells["latency_ms"] == "0.75"


def test_the_limit_is_said_where_it_cut_something_off() -> None:
    """On standard error, so that a table can be piped."""
    cut = run("search", "--limit", "2")
    assert len(cut.stdout.splitlines()) == 3
    assert "--limit" in cut.stderr
    assert run("search", "--limit", "4").stderr == ""


def test_a_wrong_field_is_an_error_in_words() -> None:
    """Not a stack trace."""
    with pytest.raises(TastemakerError, match="must be one of id, user"):
        run("search", "nonsense:1")


def test_a_raw_user_id_is_searched_by_its_pseudonym(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the environment, as for a service."""
    monkeypatch.setenv("TASTEMAKER_PRIVACY__PSEUDONYMIZE", "true")
    monkeypatch.setenv(KEY, "k" * 32)
    hidden = Pseudonyms(b"k" * 32).of("zoë")
    fill(home / "spool", [request(9, user_id=hidden, occurred_at=NOON)])
    assert f"{9:032x}" in run("search", "user:zoë").stdout
    assert f"{9:032x}" in run("search", "--user", "zoë").stdout
    monkeypatch.delenv(KEY)
    with pytest.raises(TastemakerError, match=KEY):
        run("search", "user:zoë")


def test_show_prints_the_request_its_items_and_its_feedback(home: Path) -> None:
    """For people and as JSON."""
    fill(home / "spool", [click(1, request_id=f"{1:032x}", item_id="item-2")])
    shown = run("show", f"{1:032x}")
    assert "user       user-1" in shown.stdout
    assert 'features   {"recency_days":null,"orders_per_day":0.5}' in shown.stdout
    assert "   3  item-2  score 1  propensity 1  " in shown.stdout
    assert "click item-2  value 1" in shown.stdout
    assert "no problem file" in shown.stderr
    found = json.loads(run("show", f"{1:032x}", "--json").stdout)
    assert found["record"]["request_id"] == f"{1:032x}"
    assert found["outcomes"] is None
    assert [event["event_id"] for event in found["feedback"]] == ["click-1"]
    assert len(found["reasons"]) == len(ITEMS)


@pytest.mark.slow
def test_replay_prints_how_the_lists_differ(home: Path) -> None:
    """By the newest version of a model, or by its id."""
    version = make_home(home)["popularity"]
    logged = request(7, items=[Item("item-01", 1.0, 1.0), Item("other", 1.0, 1.0)], occurred_at=NOON + 1e8)
    fill(home / "spool", [logged])
    found = json.loads(run("replay", logged.request_id, "--version", version.id, "--json").stdout)
    answered = [item["item_id"] for item in found["answer"]["items"]]
    assert not found["is_same"]
    assert {one["item_id"]: one["before"] for one in found["changes"]} == {
        **dict.fromkeys(answered), "item-01": 0, "other": 1
    }  # fmt: skip
    lines = run("replay", logged.request_id, "--version", "popularity").stdout.splitlines()
    assert f"replayed with popularity {version.id}, stage model" in lines[-1 - len(found["changes"])]
    assert lines[-1].split() == ["2", "->", "-", "other"]
