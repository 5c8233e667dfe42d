"""A very small simulated shop in a folder of its own, for tests that run the asset graph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from support.home_copies import copy_home
from support.worker_sharing import made_once
from tastemaker.settings import Settings, SourceSettings

if TYPE_CHECKING:
    from tastemaker.workflows.workspace import Workspace
    from tastemaker_pipelines.run import Outcome

SHOP = {"n_users": 150, "n_items": 80, "n_days": 60, "events_per_day": 150, "seed": 1}
PROBLEM = """
name: a very small shop
objectives:
  - name: interest
    events: {purchase: {weight: 1.0}, cart: {weight: 0.5}, view: {weight: 0.1}}
split: {test_days: 10}
"""
RANKER: dict[str, Any] = {"retrievers": ["popularity", "bought_again"], "trees": 20, "label_days": 10}
"""Enough to take every step of the ranker in a second."""
OUTCOME = "outcome.json"


def settings(home: Path, **overrides: Any) -> Settings:
    """Settings of a home folder in `home`, its problem file written."""
    home.mkdir(parents=True, exist_ok=True)
    problem = home / "problem.yaml"
    problem.write_text(overrides.pop("problem", PROBLEM), encoding="utf-8")
    return Settings(
        home=home,
        problem=problem,
        **{
            "source": SourceSettings(name="simulated", options=SHOP),
            "models": {"ranker": RANKER},
            **overrides,
        },
    )


def environment(home: Path) -> dict[str, str]:
    """The same for a process of its own."""
    config = home / "tastemaker.toml"
    options = ", ".join(f"{name} = {value}" for name, value in SHOP.items())
    retrievers = ", ".join(f'"{name}"' for name in RANKER["retrievers"])
    config.write_text(
        f'[source]\nname = "simulated"\noptions = {{ {options} }}\n\n'
        f"[models.ranker]\nretrievers = [{retrievers}]\n"
        f"trees = {RANKER['trees']}\nlabel_days = {RANKER['label_days']}\n"
    )
    return os.environ | {"TASTEMAKER_HOME": str(home), "TASTEMAKER_PROBLEM": str(home / "problem.yaml")}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Outcome]:
    """A home after its first run, shared by all tests of a process: they only add to it."""
    from tastemaker.workflows.workspace import Workspace
    from tastemaker_pipelines.run import Outcome

    made = made_once(tmp_path_factory, "finished", _run_in)
    home = copy_home(made / "home", tmp_path_factory.mktemp("finished") / "home")
    return Workspace(settings(home)), msgspec.json.decode((made / OUTCOME).read_bytes(), type=Outcome)


def _run_in(folder: Path) -> None:
    from tastemaker_pipelines.run import run

    outcome = run(settings(folder / "home"))
    (folder / OUTCOME).write_bytes(msgspec.json.encode(outcome, enc_hook=str))
