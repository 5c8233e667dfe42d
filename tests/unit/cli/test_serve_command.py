"""`tastemaker serve` refuses in plain words what it can't serve, before any server is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.served_homes import make_home
from support.servers import free_port
from tastemaker.cli import serve as command
from tastemaker.errors import ArtifactError, PluginError, RegistryError, TastemakerError
from tastemaker.serving.http.api_keys import add, changed
from tastemaker.serving.runtime.server_command import service_target


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, in a folder without a problem file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def serve(*words: str) -> None:
    """Run the command; what it raises is what the user reads."""
    CliRunner().invoke(command.serve, words, catch_exceptions=False)


def test_help_has_examples() -> None:
    text = CliRunner().invoke(command.serve, ["--help"]).output
    assert "tastemaker serve popularity --port 3001" in text
    assert "/recommend" in text


def test_an_unknown_name_lists_the_installed_models() -> None:
    with pytest.raises(PluginError, match=r"no model named 'nosuch' is installed; installed: .*popularity"):
        serve("nosuch")


def test_a_model_without_a_version_says_how_to_get_one() -> None:
    with pytest.raises(RegistryError, match="no sound version of 'popularity'") as caught:
        serve("popularity")
    assert "tastemaker run" in str(caught.value)


def test_without_a_model_and_a_problem_there_is_nothing_to_choose_by() -> None:
    with pytest.raises(TastemakerError, match=r"problem\.yaml"):
        serve()


def test_a_worker_is_pinned_to_one_core_by_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_home(home)
    port = str(free_port())
    started: list[dict[str, str]] = []
    monkeypatch.setattr("os.execve", lambda _program, _command, environment: started.append(environment))
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    serve("popularity", "--port", port)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    serve("popularity", "--port", port)
    assert [environment["OPENBLAS_NUM_THREADS"] for environment in started] == ["1", "2"]


@pytest.mark.parametrize(
    ("host", "with_key", "warned"),
    [("127.0.0.1", False, False), ("0.0.0.0", False, True), ("0.0.0.0", True, False)],
)
def test_a_public_service_without_keys_warns(
    home: Path, monkeypatch: pytest.MonkeyPatch, host: str, with_key: bool, warned: bool
) -> None:
    make_home(home)
    if with_key:
        with changed(home / "keys.json") as keys:
            add(keys, "web shop", ["recommend"])
    monkeypatch.setattr("os.execve", lambda *_: None)
    words = ["popularity", "--host", host, "--port", str(free_port())]
    said = CliRunner().invoke(command.serve, words, catch_exceptions=False).stderr
    assert ("tastemaker keys new" in said) == warned


def test_a_database_that_can_not_be_used_keeps_no_model_from_being_served(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make_home(home)["popularity"]
    (home / "shopping.txt").write_bytes(b"milk, bread" * 1_000)
    monkeypatch.setenv("TASTEMAKER_DATABASE_URL", f"sqlite:///{home / 'shopping.txt'}")
    started: list[dict[str, str]] = []
    monkeypatch.setattr("os.execve", lambda _program, _command, environment: started.append(environment))
    serve("popularity", "--port", str(free_port()))
    assert [environment["TASTEMAKER_CHOSEN_VERSION"] for environment in started] == [version.id]
    with pytest.raises(TastemakerError, match="file is not a database"):
        serve("random")


def test_a_port_in_use_is_reported(home: Path) -> None:
    make_home(home)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(
            TastemakerError, match=r"can't listen on 127\.0\.0\.1:\d+: Address already in use"
        ):
            serve("popularity", "--port", str(taken.getsockname()[1]))


@pytest.mark.parametrize(
    ("model", "service"),
    [
        ("popularity", "tastemaker_baselines.service:Popularity"),
        ("item_knn", "tastemaker_collaborative.service:ItemKNN"),
        ("content", "tastemaker_content.service:ContentBased"),
        ("ranker", "tastemaker_ranker.service:Ranker"),
    ],
)
def test_a_models_service_is_found_beside_it(model: str, service: str) -> None:
    assert service_target(model) == service


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_pinned_version_is_handed_to_the_service(
    home: Path, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    version = make_home(home)["popularity"]
    started: list[dict[str, str]] = []
    monkeypatch.setattr("os.execve", lambda _program, _command, environment: started.append(environment))
    argument = "popularity" if by_variable else f"popularity@{version.id}"
    if by_variable:
        monkeypatch.setenv("TASTEMAKER_VERSION", version.id)
    words = [argument, "--port", str(free_port())]
    printed = CliRunner().invoke(command.serve, words, catch_exceptions=False).stderr
    assert f"serving popularity {version.id} (pinned: no deployment replaces it)" in printed
    (environment,) = started
    assert environment["TASTEMAKER_VERSION"] == version.id
    assert "TASTEMAKER_CHOSEN_VERSION" not in environment
    assert environment["BENTOML_CONFIG_OPTIONS"] == "services.popularity.workers=1"


@pytest.mark.parametrize(
    ("argument", "variable", "message"),
    [
        ("popularity@20200101-none", None, r"popularity has no version '20200101-none'"),
        ("popularity@../popularity", None, r"popularity has no version '\.\./popularity'"),
        ("popularity@", None, "'popularity@' is not MODEL or MODEL@VERSION"),
        ("@20200101", None, "'@20200101' is not MODEL or MODEL@VERSION"),
        ("popularity@a", "b", "popularity@a and TASTEMAKER_VERSION = 'b' name two versions"),
        (None, "b", "TASTEMAKER_VERSION = 'b' pins a version, but this service follows the champion"),
    ],
)
def test_a_version_that_can_not_be_pinned_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, argument: str | None, variable: str | None, message: str
) -> None:
    make_home(home)
    if variable is not None:
        monkeypatch.setenv("TASTEMAKER_VERSION", variable)
    with pytest.raises(TastemakerError, match=message) as caught:
        serve(*([] if argument is None else [argument]), "--port", str(free_port()))
    assert caught.value.fix


def test_a_damaged_version_is_not_pinned(home: Path) -> None:
    version = make_home(home)["popularity"]
    next((version.folder / "model").glob("*.npy")).write_bytes(b"")
    with pytest.raises(ArtifactError):
        serve(f"popularity@{version.id}", "--port", str(free_port()))
