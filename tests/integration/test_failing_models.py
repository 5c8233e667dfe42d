"""A model that fails, in any way, is named with its reason; all others are compared, promoted and watched."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
from rich.console import Console

from support import commands, small_shop
from support.plugin_sites import Site, model
from tastemaker.errors import TastemakerError
from tastemaker.evaluation.leaderboard import terminal
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.plugins import discovery
from tastemaker.settings import Settings
from tastemaker.workflows.promote import choose
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.definitions import build_defs
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.resources import LazyWorkspace
from tastemaker_pipelines.run import Outcome, run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries

SOUND = ("bought_again", "popularity")
FAILING = {
    "raises": (model("raises", fit="raise ValueError('no such [thing]')"), "no such [thing]"),
    "silent": (model("silent", fit="raise RuntimeError"), "RuntimeError"),
    "exits": (model("exits", recommend="raise SystemExit(3)"), "SystemExit"),
    "memory": (model("memory", fit="raise MemoryError('12,001 items')"), "12,001 items"),
    "returns_none": (model("returns_none", recommend="return None"), "returns_none"),
    "no_self": (model("no_self", fit="return 3"), "no_self"),
    "nan": (
        model("nan", recommend="from tastemaker.plugins import Ranking as R; n = len(batch), k; return R("
              "np.zeros(n, np.int32), np.full(n, np.nan, np.float32), np.ones(n, np.float32))"),
        "nan",
    ),
    "writes": (
        model("writes", fit="m = data.history.matrix(); m.data -= m.data.mean(); return self"),
        "writes to m.data (data.history.rewards), which is read-only",
    ),
    "unsaved": (model("unsaved", save="raise OSError('no room')"), "no room"),
    "not_found": ("import nonsense_module", "nonsense_module"),
    "not_python": ("def", "SyntaxError"),
    "nonsense": ("Model = 3", "expected a subclass"),
    "reads_nothing": (
        model("reads_nothing", "from tastemaker.plugins import Capabilities; "
              "capabilities = Capabilities(user_features=('shoe_size',))"),
        "shoe_size",
    ),
    "hangs": ("import time\nwhile True: time.sleep(0.1)", "did not end within"),
    "Bad-Name": (model("Bad-Name"), "lower case words"),
}  # fmt: skip


class Shop(NamedTuple):
    """A home whose user has installed models that fail."""

    settings: Settings
    outcome: Outcome

    @property
    def board(self) -> Leaderboard:
        return Workspace(self.settings).leaderboard()


def choosing(home: Path, *names: str, **more: Any) -> Settings:
    """Settings of a home in which only these models take part."""
    return small_shop.settings(home, models={"enabled": names, **more})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("failing")
    site = Site(folder / "site")
    site.folder.mkdir()
    for name, (source, _) in FAILING.items():
        module = f"failing_{name.lower().replace('-', '_')}"
        site.install(f"dist_{name.replace('-', '_')}", {name: f"{module}:Model"}, **{module: source})
    with pytest.MonkeyPatch.context() as patch:
        discovery.find()  # the sound ones are imported already when the limit is short
        patch.setattr(discovery, "IMPORT_SECONDS", 5.0)
        patch.syspath_prepend(str(site.folder))
        settings = choosing(folder / "home", *SOUND, *FAILING)
        yield Shop(settings, run(settings))


def test_the_others_are_compared_promoted_and_watched(shop: Shop) -> None:
    assert not shop.outcome.success
    steps = {step.name: step.state for step in shop.outcome.steps.values()}
    failed = {name for name, state in steps.items() if state != "done"}
    names = {name.replace("-", "_") for name in FAILING}
    unusable = {"not_found", "not_python", "nonsense", "hangs", "Bad_Name"}
    assert failed == {f"backtests/{name}" for name in names} | {f"models/{name}" for name in names - unusable}
    for name in ("leaderboard", "champion", "drift_report", "online_features", "product_metrics"):
        assert steps[name] == "done", name
    assert {row.model for row in shop.board.rows} == set(SOUND)
    assert {one.model for one in Workspace(shop.settings).registry.list()} == set(SOUND)


def test_each_is_named_with_its_reason(shop: Shop) -> None:
    board = shop.board
    assert [one.model for one in board.failures] == sorted(FAILING)
    text = Console(width=200, record=True, force_terminal=False)
    with text.capture() as captured:
        terminal.show(board, text)
    shown = re.sub(r"\s+", " ", captured.get())
    page = re.sub(r"\s+", " ", board.to_html())
    listed = {one["model"]: one["reason"] for one in json.loads(board.to_json())["failed"]}
    steps = {step.name: step.problem for step in shop.outcome.steps.values()}
    for name, (_, reason) in FAILING.items():
        assert reason in listed[name]
        assert f"✖ failed {name}: " in shown
        assert f"<strong>{name}</strong>" in page
        assert reason in shown
        assert reason in page
        assert reason in steps[f"backtests/{name.replace('-', '_')}"]
        assert "Traceback" not in listed[name]


def test_dagster_materializes_all_and_shows_which_checks_failed(shop: Shop) -> None:
    """As "Materialize all" in `dagster dev`: one run of every asset, in Dagster's own executor."""
    defs = build_defs(LazyWorkspace(shop.settings))
    with open_instance(shop.settings) as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, raise_on_error=False
        )
    checks = {one.asset_key.to_user_string(): one.passed for one in result.get_asset_check_evaluations()}
    assert checks["backtests/raises"] is False
    assert checks["backtests/popularity"] is True
    made = [event.asset_key for event in result.get_asset_materialization_events()]
    done = {key.to_user_string() for key in made if key is not None}
    assert {"leaderboard", "champion", "drift_report"} <= done


def test_a_model_that_works_again_is_no_longer_named(tmp_path: Path) -> None:
    broken = choosing(tmp_path / "home", *SOUND, bought_again={"nonsense": 1})
    select = "+key:leaderboard"
    outcome = run(broken, select=select)
    assert not outcome.success
    [failure] = Workspace(broken).leaderboard().failures
    assert failure.model == "bought_again"
    assert "nonsense = 1" in failure.reason
    sound = choosing(tmp_path / "home", *SOUND)
    assert run(sound, select=select).success
    assert Workspace(sound).leaderboard().failures == ()


def test_where_the_baseline_fails_the_others_are_shown(tmp_path: Path) -> None:
    settings = choosing(tmp_path / "home", *SOUND, popularity={"nonsense": 1})
    outcome = run(settings)
    states = {step.name: step.state for step in outcome.steps.values()}
    assert {name for name, state in states.items() if state == "failed"} == {
        "backtests/popularity",
        "models/popularity",
    }
    assert {states[name] for name in ("leaderboard", "champion", "drift_report")} == {"done"}
    assert [row.model for row in Workspace(settings).leaderboard().rows] == ["bought_again"]


def test_where_all_fail_each_is_named(tmp_path: Path) -> None:
    settings = choosing(tmp_path / "home", *SOUND, popularity={"one": 1}, bought_again={"two": 2})
    outcome = run(settings, select="+key:leaderboard")
    assert not outcome.success
    assert "one = 1" in outcome.steps["leaderboard"].problem
    assert "two = 2" in outcome.steps["leaderboard"].problem


def test_the_command_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    small_shop.settings(home)
    more = {"TASTEMAKER_MODELS__ENABLED": "bought_again", "TASTEMAKER_MODELS__BOUGHT_AGAIN__WRONG": "1"}
    select = "+key:leaderboard"
    found = commands.done(home, "tastemaker", "run", "--select", select, more=more, status=1).stdout
    assert "✗" in found
    assert "wrong = '1'" in found
    shown = commands.done(home, "tastemaker", "leaderboard", more=more).stdout
    assert "✖ failed bought_again" in shown


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"enabled": ["popularty"]}, "did you mean popularity?"),
        ({"disabled": ["esae"]}, "did you mean ease?"),
        ({"itemknn": {"neighbours": 3}}, "did you mean item_knn?"),
        ({"disabled": ["zzz"]}, "remove it; installed are: "),
        ({"disabled": ["popularity"]}, "the baseline that all others are compared with"),
    ],
)
def test_wrong_names_are_refused_before_anything_starts(
    tmp_path: Path, models: dict[str, Any], said: str
) -> None:
    settings = small_shop.settings(tmp_path / "home", models=models)
    with pytest.raises(TastemakerError) as refused:
        run(settings)
    assert said in str(refused.value)


def test_a_model_that_is_left_out_is_neither_imported_nor_shown(tmp_path: Path) -> None:
    everything = choosing(tmp_path / "home", *SOUND)
    run(everything, select="+key:leaderboard")
    fewer = small_shop.settings(tmp_path / "home", models={"enabled": SOUND, "disabled": ["bought_again"]})
    outcome = run(fewer, select="+key:leaderboard")
    assert outcome.success
    assert "backtests__bought_again" not in outcome.steps
    assert [row.model for row in Workspace(fewer).leaderboard().rows] == ["popularity"]
    everywhere = LazyWorkspace(everything)
    defs = build_defs(everywhere)
    everywhere._opened = Workspace(fewer)  # as in `dagster dev` after the settings changed
    job = defs.resolve_implicit_global_asset_job_def()
    with open_instance(fewer) as instance:
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["backtests", "bought_again"])],
        )
    [made] = result.get_asset_materialization_events()
    assert "left_out" in made.materialization.metadata


@pytest.mark.parametrize(
    ("words", "models"),
    [
        (["--only", "bought_again"], {"bought_again", "popularity"}),
        (
            ["--only", "ease", "--only", "trending", "--without", "ease"],
            {"popularity", "trending"},
        ),
    ],
)
def test_the_command_line_chooses_models(tmp_path: Path, words: list[str], models: set[str]) -> None:
    home = tmp_path / "home"
    small_shop.settings(home)
    printed = commands.done(
        home, "tastemaker", "run", *words, "--select", "+key:leaderboard", "--json"
    ).stdout
    steps = {step["name"] for step in json.loads(printed)["steps"]}
    assert {name.removeprefix("backtests/") for name in steps if name.startswith("backtests/")} == models


def test_a_wrong_name_on_the_command_line_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    small_shop.settings(home)
    for option in ("--only", "--without"):
        refused = commands.done(home, "tastemaker", "run", option, "rankr", status=2)
        assert f"{option} contains 'rankr', which is not an installed model" in refused.stderr
        assert "did you mean ranker?" in refused.stderr
    refused = commands.done(home, "tastemaker", "run", "--without", "popularity", status=2)
    assert "--without contains popularity, the baseline" in refused.stderr


LATE = "self.n = data.n_items; assert len(data.events) < {most}, 'too many events'"


def test_a_model_that_fails_on_all_data_is_named_and_not_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choosing(tmp_path / "home", "popularity")
    assert run(first, select="+key:backtests/popularity").success
    workspace = Workspace(first)
    trained, everything = len(workspace.split().train.events), len(workspace.cut().training(0).events)
    assert trained < everything
    site = Site(tmp_path / "site")
    site.folder.mkdir()
    source = model("late_failure", fit=LATE.format(most=everything))
    site.install("dist_late", {"late_failure": "failing_late:Model"}, failing_late=source)
    monkeypatch.syspath_prepend(str(site.folder))
    settings = choosing(tmp_path / "home", "late_failure")
    for _ in range(2):
        outcome = run(settings)
        assert not outcome.success
        states = {step.name: step.state for step in outcome.steps.values()}
        assert (states["backtests/late_failure"], states["models/late_failure"]) == ("done", "failed")
        assert (states["leaderboard"], states["champion"], states["drift_report"]) == ("done",) * 3
        board = Workspace(settings).leaderboard()
        assert {row.model for row in board.rows} == {"late_failure", "popularity"}
        [failure] = board.failures
        assert failure.reason.startswith("it was evaluated, but can't be fitted on all data: ")
        assert "too many events" in failure.reason
        assert choose(board, None) != "late_failure"
