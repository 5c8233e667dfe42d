"""`tastemaker learning-curve` and `tastemaker seeds`: run normally, killed, and in two processes at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from support import commands, small_shop
from support.child_processes import ended
from support.small_lakes import make_lake
from support.tuning_worlds import PROBLEM, rows
from tastemaker.evaluation.robustness import staleness
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import backtests, seed_spreads

SECONDS = 300


@pytest.fixture
def home(tmp_path: Path) -> Path:
    settings = small_shop.settings(tmp_path / "home", problem=PROBLEM)
    make_lake(settings.lake, rows(days=28))
    return settings.home


def stored(home: Path) -> dict[str, Any]:
    """Backtest -> when it was made."""
    columns = select(backtests.c.id, backtests.c.created_at)
    with open_engine(f"sqlite:///{home / 'tastemaker.db'}").connect() as connection:
        return {row.id: row.created_at for row in connection.execute(columns)}


def test_killed_it_continues_and_does_no_point_twice(home: Path) -> None:
    words = ("tastemaker", "learning-curve", "bought_again", "trending", "--weeks", "2")
    killed = commands.start(home, *words)
    assert killed.stderr is not None
    with ended(killed):
        assert any(line.startswith("bought_again  7 days after training") for line in killed.stderr)
    before = stored(home)
    assert len(before) >= 7  # four windows, two weeks trained again, one week stale
    done = commands.done(home, *words)
    after = stored(home)
    assert {name: after[name] for name in before} == before
    assert "bought_again" in done.stdout
    assert "trending" in done.stdout
    page = (home / "reports" / "learning_curve.html").read_text("utf-8")
    assert "data:image/png;base64" in page
    assert (home / "reports" / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    found = staleness.newest(open_engine(f"sqlite:///{home / 'tastemaker.db'}"), "tastes", "trending")
    assert found is not None
    assert found.observed_days == 7


def test_two_at_once_do_each_point_once(home: Path) -> None:
    words = ("tastemaker", "learning-curve", "bought_again", "--weeks", "2", "--json")
    both = [commands.start(home, *words, "--plot", str(home / f"{name}.png")) for name in ("first", "second")]
    with ended(*both):
        outputs = [process.communicate(timeout=SECONDS) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    first, second = (json.loads(out) for out, _err in outputs)
    assert first == second
    assert [point["days"] for point in first[0]["learning"]] == [3, 6, 12, 24]
    assert len(stored(home)) == 7


def test_seeds_are_stored_and_shown(home: Path) -> None:
    words = ("tastemaker", "seeds", "bpr", "popularity", "--seeds", "3")
    printed = json.loads(commands.done(home, *words, "--json").stdout)
    assert [one["model"] for one in printed] == ["bpr", "popularity"]
    assert printed[0]["deviation"] > 0 == printed[1]["deviation"]
    before = stored(home)
    shown = commands.done(home, *words).stdout
    assert "3 seeds" in shown
    assert stored(home) == before
    with open_engine(f"sqlite:///{home / 'tastemaker.db'}").connect() as connection:
        assert len(connection.execute(select(seed_spreads)).all()) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["learning-curve", "nothing"], "no model named 'nothing'"),
        (
            ["learning-curve", "popularity", "--weeks", "4"],
            "4 weeks are to be evaluated, but the events span 28 days",
        ),
        (["learning-curve"], "Missing argument"),
        (["seeds", "popularity", "--seeds", "1"], "--seeds"),
    ],
)
def test_mistakes(home: Path, words: list[str], message: str) -> None:
    assert message in commands.done(home, "tastemaker", *words, status=2).stderr
