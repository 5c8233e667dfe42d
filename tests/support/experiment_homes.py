"""A home with a champion, its challenger and a namespace, and designs of experiments over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine

from support import registered_versions
from tastemaker.experiments.design import Design, VariantDesign
from tastemaker.experiments.lifecycle.store import Experiments
from tastemaker.experiments.plan import Unit
from tastemaker.plugins import discovery
from tastemaker.registry import Registry, Version
from tastemaker.settings import load_settings
from tastemaker.storage.engine import open_engine

PERSON = "ada"


class ExperimentHome(NamedTuple):
    """A home whose problem has a champion and a second version."""

    experiments: Experiments
    registry: Registry
    champion: Version
    challenger: Version

    def design(self, name: str = "ranker-2", **fields: Any) -> Design:
        """A design that may run: the champion against the challenger, half and half."""
        return design(name, self.champion.id, self.challenger.id, **fields)

    def draft(self, name: str = "ranker-2", **fields: Any) -> str:
        """Store such a design, and return its name."""
        return self.experiments.create(self.design(name, **fields), PERSON).name

    def running(self, name: str = "ranker-2", **fields: Any) -> str:
        """Start such an experiment, and return its name."""
        self.draft(name, **fields)
        self.do(name, "ready")
        self.do(name, "start", confirmed=("aa",))
        return name

    def do(self, name: str, action: str, **more: Any) -> None:
        """Let a person do something."""
        self.experiments.change(name, action, **{"actor": PERSON, "reason": "as planned"} | more)


def make(
    engine: Engine,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    unit: Unit = "user",
    cool_down_seconds: int = 3_600,
) -> ExperimentHome:
    """Make a home with two versions of a toy, the first of which is the champion, and the namespace home."""
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    registry = Registry(engine, home / "artifacts")
    champion = registered_versions.add(registry)
    challenger = registered_versions.add(registry, weight=2.0)
    registry.make_champion(champion, "it is the first", forced=True)
    experiments = Experiments(engine, home, registered_versions.problem())
    experiments.add_namespace("home", unit, cool_down_seconds=cool_down_seconds)
    return ExperimentHome(experiments, registry, champion, challenger)


def make_for_commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    """Make such a home in a folder, and have commands find it by the environment."""
    problem = folder / "problem.yaml"
    problem.write_text("name: shop\nobjectives: [{name: sales, events: {purchase: {window_days: 3}}}]\n")
    monkeypatch.setenv("TASTEMAKER_HOME", str(folder / "home"))
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(problem))
    settings = load_settings()
    return make(open_engine(settings.metadata_url), settings.home, monkeypatch)


def design(name: str, champion: str, challenger: str, **fields: Any) -> Design:
    """A design of a toy's version against another one."""
    variants = {
        "a": VariantDesign(share=500_000, model="toy", version=champion),
        "b": VariantDesign(share=500_000, model="toy", version=challenger),
    }
    given: dict[str, Any] = {
        "namespace": "home",
        "owner": PERSON,
        "hypothesis": "twice the weight earns more",
        "control": "a",
        "variants": variants,
        "primary": "reward_per_user",
        "minimum_effect": 0.02,
        "planned_units": 10_000,
        "window_days": 7.0,
    }
    return Design(name=name, **given | fields)
