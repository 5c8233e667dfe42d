"""A project of one's own, from nothing but the built wheels, in an empty folder of a new environment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from support import wheels
from support.bento_servers import stop, wait
from support.repository import ROOT
from support.servers import free_port

LIMIT_SECONDS = 600
SIZE = {"n_users": 150, "n_items": 80, "events_per_day": 150}


class Newcomer(NamedTuple):
    """A user who installed the wheels, and their project."""

    programs: Path
    """The new environment's folder of programs."""
    project: Path

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the developer's settings; every program is the new environment's."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TASTEMAKER_", "DAGSTER_", "BENTOML_", "PYTHON", "VIRTUAL_ENV"))
        }
        return kept | {"PATH": f"{self.programs}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}

    def type(self, *words: str, status: int = 0) -> str:
        """Run one of the environment's programs in the project, and return what it prints."""
        done = subprocess.run(
            [str(self.programs / words[0]), *words[1:]],
            cwd=self.project if self.project.exists() else self.project.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        said = f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == status, said
        assert "Traceback" not in said, said
        return done.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """A project with a small simulated shop and a model of one's own, trained."""
    folder = tmp_path_factory.mktemp("newcomer")
    built = wheels.build(tmp_path_factory.mktemp("wheels"))
    found = Newcomer(wheels.environment(folder / "environment", built), folder / "shop")
    found.type("tastemaker", "init", "shop")
    config = found.project / "tastemaker.toml"
    text = config.read_text()
    for name, value in SIZE.items():
        text, changed = re.subn(rf"^# options\.{name} = .*$", f"options.{name} = {value}", text, flags=re.M)
        assert changed == 1, name
    config.write_text(text.replace("[models]", '[models]\nenabled = ["item_knn", "my_model"]'))
    found.type("tastemaker", "models", "new", "my_model")
    wheels.install(found.programs / "python", "-e", str(found.project / "models" / "my_model"))
    return found


@pytest.fixture(scope="module")
def run(newcomer: Newcomer) -> dict[str, Any]:
    """What `tastemaker run --json` says."""
    found: dict[str, Any] = json.loads(newcomer.type("tastemaker", "run", "--json"))
    return found


def test_nothing_comes_from_the_source_folders(newcomer: Newcomer) -> None:
    code = """
import importlib.metadata, json, sys
import tastemaker, tastemaker_expectations, tastemaker_features, tastemaker_pipelines
found = [entry.load() for entry in importlib.metadata.entry_points(group="tastemaker.models")]
print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.startswith("tastemaker") and m.__file__]))
"""
    loaded = [Path(name) for name in json.loads(newcomer.type("python", "-c", code))]
    assert len(loaded) > 20
    assert not [path for path in loaded if ROOT in path.parents]


def test_the_own_model_passes_the_checks(newcomer: Newcomer) -> None:
    assert newcomer.type("tastemaker", "models", "check", "my_model").endswith("my_model passes the checks\n")


def test_a_run_trains_the_own_model_and_puts_it_on_the_leaderboard(
    newcomer: Newcomer, run: dict[str, Any]
) -> None:
    states = {step["name"]: step["state"] for step in run["steps"]}
    assert set(states.values()) == {"done"}
    assert "models/my_model" in states
    board = json.loads(newcomer.type("tastemaker", "leaderboard", "--json"))
    assert {row["model"] for row in board["rows"]} == {"item_knn", "my_model", "popularity"}


@pytest.mark.usefixtures("run")
def test_everything_that_is_written_lies_in_the_project(newcomer: Newcomer) -> None:
    assert {path.name for path in newcomer.project.parent.iterdir()} == {"environment", "shop"}
    made = {path.name for path in newcomer.project.iterdir()}
    assert made == {
        *(".gitignore", ".tastemaker", "README.md", "asset_graph.py", "dagster.yaml", "models"),
        *("problem.yaml", "pyproject.toml", "requirements.txt", "tastemaker.toml"),
    }


def test_dagster_loads_the_models_that_take_part_and_sees_the_runs(
    newcomer: Newcomer, run: dict[str, Any]
) -> None:
    newcomer.type("python", "-m", "dagster", "definitions", "validate")
    listed = newcomer.type("python", "-m", "dagster", "asset", "list", "-m", "asset_graph")
    models = {name.partition("/")[2] for name in listed.split() if name.startswith("models/")}
    assert models == {"item_knn", "my_model", "popularity"}
    code = f"""
from tastemaker.settings import load_settings
from tastemaker_pipelines.instance import open_instance
print(open_instance(load_settings()).get_run_by_id({run["run_id"]!r}).status.value)
"""
    assert newcomer.type("python", "-c", code) == "SUCCESS\n"


@pytest.mark.servers
@pytest.mark.usefixtures("run")
def test_the_own_model_is_served_to_simulated_users(newcomer: Newcomer) -> None:
    port = free_port()
    log = newcomer.project / ".tastemaker" / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(newcomer.programs / "tastemaker"), "serve", "my_model", "--port", str(port)],
            cwd=newcomer.project,
            env=newcomer.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait(client, process, log)
            answer = client.post("/recommend", json={"user_id": "an unknown user", "k": 5}).json()
        assert (answer["model"], len(answer["items"])) == ("my_model", 5)
        said = newcomer.type("tastemaker", "simulate", f"http://127.0.0.1:{port}", "--visits", "20")
        assert re.search(r"lists from\s+model: 20\b", said)
    finally:
        stop(process)
    assert process.returncode in (0, -signal.SIGTERM)
