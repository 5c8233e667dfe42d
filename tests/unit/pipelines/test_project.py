"""`tastemaker init`: the folder that it creates, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date, timedelta
from importlib.metadata import requires
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from support.repository import ROOT
from tastemaker.errors import TastemakerError
from tastemaker.problem import load_problem
from tastemaker.settings import Settings, load_settings
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.cli.init import init
from tastemaker_pipelines.project import contents, scaffold
from tastemaker_pipelines.project.data import test_days as horizon
from tastemaker_pipelines.recent_shop import recent_first_day

FILES = {
    ".gitignore",
    "README.md",
    "asset_graph.py",
    "dagster.yaml",
    "models/README.md",
    "problem.yaml",
    "pyproject.toml",
    "requirements.txt",
    "tastemaker.toml",
}
ORDERS = "customer,sku,ordered,kind\n" + "".join(
    f"c{n % 7},s{n % 5},2026-{1 + n // 28:02}-{1 + n % 28:02},{'view' if n % 3 else 'purchase'}\n"
    for n in range(100)
)
COLUMNS = ("user_id=customer", "item_id=sku", "occurred_at=ordered", "event_type=kind")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TASTEMAKER_HOME", "TASTEMAKER_PROBLEM"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(init, arguments, catch_exceptions=False)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings and the problem, as commands in the project's folder read them."""
    monkeypatch.chdir(folder)
    settings = load_settings()
    load_problem(settings.problem)
    return settings


def with_columns(*words: str) -> list[str]:
    return [*words, *(word for pair in COLUMNS for word in ("--column", pair))]


def test_a_simulated_shop_is_a_whole_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("deep/my_shop")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "deep" / "my_shop"
    assert files(folder) == FILES
    assert (folder / "README.md").read_text().startswith("# my shop\n")
    settings = loaded(folder, monkeypatch)
    assert settings.home == Path(".tastemaker")
    assert Workspace(settings).source.identity.startswith("simulated ")
    age = date.today() - date.fromisoformat(settings.source.options["dated"])
    assert timedelta(179) < age < timedelta(189), "half a year of data, until now"
    assert not any(re.search(r"\$\{?\w", (folder / name).read_text()) for name in FILES)


def test_an_empty_folder_is_filled_and_stays_the_same_folder(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    before = folder.stat().st_ino
    assert run("empty").exit_code == 0
    assert files(folder) == FILES
    assert folder.stat().st_ino == before, "a shell in the folder would lose its place"


@pytest.mark.parametrize("name", [".hidden", "notes.txt"])
def test_a_folder_that_is_not_empty_is_refused_and_unchanged(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(TastemakerError, match=rf"not empty: it has {re.escape(name)}\s+fix: choose a new"):
        run("shop")
    assert files(folder) == {name}


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("mine")
    with pytest.raises(TastemakerError, match="is a file"):
        run("shop")
    assert (tmp_path / "shop").read_text() == "mine"


@pytest.mark.parametrize("existing", [False, True])
def test_nothing_is_left_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    if existing:
        (tmp_path / "shop").mkdir()
    moves, rename = [], Path.rename

    def third_fails(self: Path, target: Path) -> Path:
        moves.append(target)
        if len(moves) == (3 if existing else 1):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", third_fails)
    with pytest.raises(TastemakerError, match="can't be written: No space left on device"):
        run("shop")
    assert [path.name for path in tmp_path.rglob("*")] == (["shop"] if existing else [])


def test_the_report_as_json_names_files_and_next_steps(tmp_path: Path) -> None:
    found = json.loads(run("shop", "--json").output)
    assert set(found["files"]) == FILES
    assert found["project"] == str(tmp_path / "shop")
    assert found["next"][:2] == ["cd shop", "tastemaker run"]


def test_the_next_steps_can_be_typed_for_a_name_with_spaces() -> None:
    assert json.loads(run("my shop", "--json").output)["next"][0] == "cd 'my shop'"


@pytest.mark.slow
def test_a_file_of_events_is_read_from_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    output = run(*with_columns("shop", "--data", "orders.csv")).output
    assert "the problem counts purchase events; the file has view (66), purchase (34)" in output
    settings = loaded(tmp_path / "shop", monkeypatch)
    assert settings.source.name == "table"
    assert settings.source.path == Path("../orders.csv")
    problem = load_problem(settings.problem)
    assert problem.event_weights == {"purchase": 1.0}
    days = sorted(Workspace(settings).source.days())
    assert problem.split.test_days == ((days[-1] - days[0]).days + 1) // 5 == 21


@pytest.mark.slow
def test_project_and_data_can_be_moved_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "orders.csv").write_text(ORDERS)
    run(*with_columns("here/shop", "--data", "here/orders.csv"))
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert Workspace(loaded(tmp_path / "there" / "shop", monkeypatch)).source.days()


def test_missing_columns_are_named_with_the_option_that_maps_them(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    with pytest.raises(TastemakerError) as refused:
        run("shop", "--data", "orders.csv")
    said = str(refused.value)
    assert "no column user_id, item_id, occurred_at; it has customer, sku, ordered, kind" in said
    assert "fix: say which of its columns is which, such as --column user_id=customer" in said
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source", "table"], "the source table reads a file\n  fix: name it|--data FILE"),
        (["--source", "sql", "--data", "orders.csv"], "the source sql reads no file"),
        (["--source", "tabel"], "there is no source named 'tabel'"),
        (["--column", "user_id=customer"], "--column names columns of a file"),
        (["--data", "orders.csv", "--column", "customer"], "--column customer is not NAME=OWN"),
        (["--data", "missing.csv"], "missing.csv"),
        (["--data", "blank.csv"], "blank.csv"),
        (["--data", "undated.csv"], "no event with a readable time"),
    ],
)
def test_what_can_not_be_a_project_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "blank.csv").write_text("")
    (tmp_path / "undated.csv").write_text("user_id,item_id,occurred_at\na,b,\n")
    with pytest.raises(TastemakerError, match=message):
        run("shop", *words)
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize("source", ["simulated", "sql", "table"])
def test_every_commented_setting_is_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    words = with_columns("--data", "orders.csv") if source == "table" else ["--source", source]
    run("shop", *words)
    config = tmp_path / "shop" / "tastemaker.toml"
    text = re.sub(r"^# (?=[\w.]+ = |\[)", "", config.read_text(), flags=re.MULTILINE)
    assert text.count("\n# ") < config.read_text().count("\n# ") - 10
    config.write_text(text)
    assert loaded(tmp_path / "shop", monkeypatch).source.name == source


def test_dagster_is_configured_as_in_the_repository() -> None:
    rendered = scaffold.rendered(scaffold.Project("a", "[source]\n", "", ""))
    assert rendered["dagster.yaml"] == (ROOT / "dagster.yaml").read_text()


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_a_toml_string(text: str) -> None:
    import tomllib

    assert tomllib.loads(f"key = {scaffold.toml(text)}") == {"key": text}


@pytest.mark.parametrize(
    ("name", "title"),
    [("my_shop", "my shop"), ("a-b c", "a b c"), ("läden.de", "läden.de"), ("$x", "x"), ("-", "shop")],
)
def test_the_title_is_the_folder_s_name_in_words(name: str, title: str) -> None:
    assert contents.title(Path(name)) == title


@pytest.mark.parametrize(("days", "length"), [(1, 1), (10, 2), (150, 30), (1_000, 30)])
def test_the_test_period_is_a_fifth_of_short_data(days: int, length: int) -> None:
    assert horizon(days, 30) == length


def test_the_shop_s_first_day_is_a_recent_one() -> None:
    first = recent_first_day(date(2026, 7, 1))
    assert first.weekday() == date(2025, 1, 1).weekday()
    assert timedelta(0) < date(2026, 7, 1) - (first + timedelta(days=179)) <= timedelta(days=7)


def test_a_project_installs_what_every_command_needs(tmp_path: Path) -> None:
    """As the documentation says, too. No command needs services of Apprise, or flags in a shop's own code."""
    run("shop")
    text = (tmp_path / "shop" / "requirements.txt").read_text()
    documented = (ROOT / "docs" / "how-to" / "start-a-project.md").read_text()
    [extras], [said] = (re.findall(r"tastemaker\[([a-z,]+)\]", each) for each in (text, documented))
    assert extras == said
    lines = [re.match(r"([\w.-]+).*extra == ['\"](\w+)", line) for line in requires("tastemaker") or ()]
    optional = {(match[1], match[2]) for match in lines if match}
    installed = {name for name, extra in optional if extra in extras.split(",")}
    others = {name for name, extra in optional if extra != "dev"} - installed
    assert others == {"apprise", "openfeature-sdk"}
