"""A problem that does not fit the data is reported once, before any backtest, and by `data check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from support import small_shop
from tastemaker.cli.main import cli
from tastemaker.serving_settings import ServingSettings
from tastemaker.settings import Settings, SourceSettings
from tastemaker_pipelines.run import Outcome, run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries

EVENTS = ["user_id,item_id,event_type,occurred_at", *(
    f"u{n % 20},i{n % 7},purchase,2024-01-{n % 28 + 1:02}T{n % 24:02}:00:00" for n in range(560)
)]  # fmt: skip
PROBLEM = "name: shop\nobjectives: [{{name: a, events: {{{events}}}}}]\nsplit: {{test_days: {days}}}\n{more}"


def shop(home: Path, *, events: str = "purchase: {}", days: int = 7, more: str = "") -> Settings:
    """A home that reads a CSV file of purchases, with a problem of its own."""
    home.mkdir()
    (home / "orders.csv").write_text("\n".join(EVENTS))
    return small_shop.settings(
        home,
        problem=PROBLEM.format(events=events, days=days, more=more),
        source=SourceSettings(name="table", path=home / "orders.csv"),
        models={"enabled": ["bought_again"]},
    )


def backtests(outcome: Outcome) -> list[str]:
    """The states of the backtests."""
    return [step.state for name, step in outcome.steps.items() if name.startswith("backtests__")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"events": "click: {}, like: {}"},
            "type click, like, but the events are: purchase (560)",
        ),
        ({"more": "slices: {user_columns: [segment]}"}, "'segment', but the table users has no such column"),
        ({"days": 30}, "nothing is left to train on"),
    ],
)
def test_what_stops_every_model_is_said_once_before_any_backtest(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    outcome = run(shop(tmp_path / "home", **changes))  # type: ignore[arg-type]
    assert not outcome.success
    problems = [step.problem for step in outcome.steps.values() if said in step.problem]
    assert len(problems) == 1
    assert said in outcome.steps["gate"].problem
    assert set(backtests(outcome)) <= {"skipped", "waiting"}


def test_what_blocks_nothing_is_counted(tmp_path: Path) -> None:
    more = "candidates: {blocked_items: [i1, I-2, nowhere], blocked_categories: [toys]}"
    settings = shop(tmp_path / "home", events="purchase: {}, click: {}", more=more)
    settings = settings.model_copy(update={"serving": ServingSettings(static_items=("i9",))})
    outcome = run(settings, select="+key:leaderboard")
    assert outcome.success
    said = outcome.steps["gate"].facts["events warning"]
    assert (
        "blocked_items: 2 of 3 are not in the data and block nothing, such as I-2 (did you mean i2?), nowhere"
        in said
    )
    assert "candidates.blocked_categories: 1 of 1 are not in the data" in said
    assert "serving.static_items: 1 of 1 are not in the data and are shown all the same" in said
    assert "counts events of type click, of which there are none; the events are purchase (560)" in said


def test_a_run_without_backtests_asks_nothing_of_the_problem(tmp_path: Path) -> None:
    assert run(shop(tmp_path / "home", events="click: {}"), select="+key:events").success


def test_the_check_says_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "slices: {user_columns: [country, segment]}\ncandidates: {blocked_items: [I1]}"
    settings = shop(tmp_path / "home", events="purchase: {by_value: true}, click: {}", more=more)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(settings.problem))
    monkeypatch.setenv("TASTEMAKER_HOME", str(settings.home))
    monkeypatch.setenv("TASTEMAKER_SERVING__STATIC_ITEMS", '["a", "b"]')
    path = str(settings.home / "orders.csv")
    answer = CliRunner().invoke(cli, ["data", "check", path, "--source", "table", "--json"])
    assert answer.exit_code == 0, answer.output
    warnings = json.loads(answer.stdout)["warnings"]
    for said in (
        "counts events of type click, of which there are none",
        "purchase is counted by value, but all 560 of these events have the same value",
        "slices.user_columns names segment",
        "1 of 1 are not in the data and block nothing, such as I1 (did you mean i1?)",
        "serving.static_items: 2 of 2 are not in the data",
    ):
        assert len([one for one in warnings if said in one]) == 1, warnings
