"""Bad input, as the user's own command meets it: an answer or a clear message, never a stack trace.

Here are the cases that reach through the whole graph. Others are where their subject is:

- `tastemaker data check` on files that are missing, empty or refused: test_data_check.py
- each rule of the gate; batches as a whole: test_gate.py, test_gate_online_retail.py
- duplicate ids across days; runs that die while they ingest; two ingestions at once: test_ingest.py
- files of every kind, columns, zones: test_source_table.py, test_source_sql.py
- the problem file: test_problem.py; too little data to split: test_dataset.py
- broken artifacts, full disks, runs that are killed or doubled: test_broken_runs.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from support import commands, small_shop
from support.bento_servers import running
from tastemaker.cli.main import main
from tastemaker.plugins.discovery import find
from tastemaker.snapshot.canonical_ids import canonical
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries

HEAD = "event_id,user_id,item_id,event_type,value,occurred_at"
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
EVALUATED = "+key:backtests/popularity or +key:backtests/item_knn"


class Said(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.out + self.err


Command = Callable[..., Said]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder whose source is the file events.csv in it."""
    chosen = tmp_path / "home"
    small_shop.settings(chosen)
    return chosen


@pytest.fixture
def tastemaker(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """`tastemaker` in that folder, as its console script runs it."""
    environment = commands.environment(home, {"TASTEMAKER_SOURCE__NAME": "table"})
    config = (home / "tastemaker.toml").read_text().splitlines()
    (home / "tastemaker.toml").write_text(
        "\n".join(line for line in config if not line.startswith("options"))
    )
    monkeypatch.chdir(home)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TASTEMAKER_SOURCE__PATH", "events.csv")

    def call(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["tastemaker", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        said = Said(int(ended.value.code or 0), captured.out, captured.err)
        assert "Traceback" not in said.text, said.text
        return said

    return call


def write_events(home: Path, events: Iterator[tuple[str, str, datetime]], *more: str) -> int:
    """Events of (user, item, time), every third a view and the others purchases, then lines as they are."""
    lines = [
        f"e{n},{user},{item},{'purchase' if n % 3 else 'view'},1,{at.isoformat()}"
        for n, (user, item, at) in enumerate(events)
    ]
    (home / "events.csv").write_text("\n".join([HEAD, *lines, *more, ""]), encoding="utf-8")
    return len(lines)


def visits(users: list[str], items: list[str], days: int = 40) -> Iterator[tuple[str, str, datetime]]:
    """One event per user and day."""
    for day in range(days):
        for n, user in enumerate(users):
            yield user, items[(7 * day + 3 * n) % len(items)], START + timedelta(days=day, minutes=n)


USERS = [f"u{n}" for n in range(12)]
ITEMS = [f"i{n}" for n in range(9)]


@pytest.mark.parametrize(
    ("content", "step", "message"),
    [
        (None, "landed_events", "there is no file events.csv"),
        ("", "landed_events", "events.csv is empty: 0 bytes"),
        ("customer,sku\nu,i\n", "landed_events", "events.csv has no column user_id, item_id, occurred_at"),
        (HEAD + "\n", "gate", "the table events is empty: 0 rows were read"),
        (HEAD + "\ne,,i,view,1,2024-01-01\n" * 5, "gate", "every row of events (5 of 5) went to quarantine"),
    ],
)
def test_a_file_that_can_not_be_used(
    home: Path, tastemaker: Command, content: str | None, step: str, message: str
) -> None:
    if content is not None:
        (home / "events.csv").write_text(content)
    said = tastemaker("run", "--select", "+key:backtests/popularity")
    assert said.status == 1
    assert message in said.text
    assert "fix: " in said.text
    assert f"failed: {step}." in said.text
    assert "fix: " in tastemaker("leaderboard").text


@pytest.mark.parametrize(("users", "items"), [(["only me"], ITEMS), (USERS, ["the one thing we sell"])])
def test_one_user_or_one_item_takes_every_step(
    home: Path, tastemaker: Command, users: list[str], items: list[str]
) -> None:
    """Every model recommends; with so few events no model wins, and the baseline stays."""
    write_events(home, visits(users, items))
    said = tastemaker("run", "--json")
    assert said.status == 0, said.text
    steps = {step["name"]: step for step in json.loads(said.out)["steps"]}
    assert {step["state"] for step in steps.values()} == {"done"}
    assert not [step for step in steps.values() if "nan" in str(step["facts"].get("interval"))]
    assert steps["champion"]["facts"]["model"] == "popularity (no champion yet)"
    board = json.loads(tastemaker("leaderboard", "--json").out)
    assert {row["model"] for row in board["rows"]} == set(find().names)
    assert board["users"] == len(users)
    assert {row["verdict"] for row in board["rows"]} == {"tied", "baseline"}
    assert tastemaker("leaderboard").status == 0


def test_a_user_with_a_hundred_thousand_events(home: Path, tastemaker: Command) -> None:
    crowd = visits(USERS, ITEMS)
    busy = (("busy", ITEMS[n % 7], START + timedelta(seconds=30 * n)) for n in range(100_000))
    total = write_events(home, (event for part in (crowd, busy) for event in part))
    said = tastemaker("run", "--json", "--select", EVALUATED)
    assert said.status == 0, said.text
    steps = {step["name"]: step["facts"] for step in json.loads(said.out)["steps"]}
    assert steps["gate"]["events rows"] == total
    assert steps["backtests/item_knn"]["users_evaluated"] == len(USERS) + 1


def test_a_problem_for_other_event_types(home: Path, tastemaker: Command) -> None:
    write_events(home, visits(USERS, ITEMS))
    problem = (
        small_shop.PROBLEM.replace("purchase:", "sale:").replace("view:", "stream:").replace("cart:", "play:")
    )
    (home / "problem.yaml").write_text(problem)
    said = tastemaker("run", "--select", "+key:backtests/popularity")
    assert said.status == 1
    assert (
        "counts events of type play, sale, stream, but the events are: purchase (320), view (160)"
        in said.text
    )
    assert "fix: " in said.text


def test_repeated_ids_and_impossible_times_are_set_aside(home: Path, tastemaker: Command) -> None:
    """A time without a zone is read in the source's zone, without an error."""
    soon = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    total = write_events(
        home,
        visits(USERS, ITEMS),
        "e1,u1,i1,purchase,1,2024-01-05T10:00:00Z",
        "e2,u2,i2,purchase,1,2024-01-06T10:00:00Z",
        f"late,u1,i1,purchase,1,{soon}",
        "bare,u1,i1,purchase,1,2024-01-05 10:00:00",
        "never,u1,i1,purchase,1,yesterday",
    )
    said = tastemaker("run", "--json", "--select", "+key:events")
    assert said.status == 0, said.text
    facts = {step["name"]: step["facts"] for step in json.loads(said.out)["steps"]}["gate"]
    assert (facts["events read"], facts["events rows"]) == (total + 5, total + 1)
    with Workspace.open().lake.connect() as connection:
        rules = connection.sql("SELECT rule, count(*) FROM quarantine GROUP BY rule ORDER BY rule").fetchall()
        [(bare,)] = connection.sql("SELECT occurred_at FROM events WHERE event_id = 'bare'").fetchall()
        [(distinct,)] = connection.sql("SELECT count(DISTINCT event_id) FROM events").fetchall()
    assert rules == [("event_id_repeated", 2), ("occurred_at_in_future", 1), ("occurred_at_unreadable", 1)]
    assert bare == datetime(2024, 1, 5, 10, tzinfo=UTC)
    assert distinct == total + 1


WORDS = ["😀", "👨‍👩‍👧", "שלום", "مرحبا", "日本", "e\u0301", "\u00e9", "a b", "\u202eabc"]
"""Emoji, joined emoji, right to left, two spellings of one é, a blank, a character that turns text around."""
IDS = sorted({canonical(word) for word in WORDS})
"""As they come back: both spellings are one id, and a direction character at an end is not part of it."""


@pytest.mark.servers
def test_ids_in_any_script_come_back_in_one_form(home: Path, tastemaker: Command) -> None:
    users = [f"{word} user" for word in WORDS]
    write_events(home, visits(users, WORDS))
    said = tastemaker("run", "--json", "--select", "+key:models/item_knn")
    assert said.status == 0, said.text
    assert Workspace.open().lake.read("quarantine").num_rows == 0
    with running(["tastemaker", "serve", "item_knn"], home, commands.environment(home)) as client:

        def ask(**request: object) -> list[str]:
            answer = client.post("/recommend", json={"user_id": users[0], "k": 9} | request).json()
            assert (answer["model"], answer["fallback"]) == ("item_knn", None)
            return [item["item_id"] for item in answer["items"]]

        assert len(IDS) == len(WORDS) - 1
        assert "abc" in IDS
        assert sorted(ask()) == IDS
        assert sorted(ask(k=8, exclude=["e\u0301"])) == sorted(set(IDS) - {"\u00e9"})
        assert ask(k=1, candidates=["e\u0301", "no such thing"]) == ["\u00e9"]
