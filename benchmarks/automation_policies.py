"""When a shop's models are trained again, and what enters service: three policies, each with a home of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import automation_model

from tastemaker.registry import Registry, Version
from tastemaker.settings import Settings, SourceSettings
from tastemaker.workflows.workspace import Workspace

MODELS = ("popularity", "item_knn", automation_model.NAME)
PROBLEM = """
name: a shop that changes
objectives:
  - name: interest
    events: {purchase: {weight: 1.0}, cart: {weight: 0.5}, view: {weight: 0.1}}
split: {test_days: 7}
candidates: {available_days: 14}
"""
SELECTED = "+key:champion"
"""What a policy materializes when it trains: all that leads to the champion."""


class Home:
    """A home folder of a changing shop, which reads what upstream has from a file."""

    def __init__(self, folder: Path, events: Path) -> None:
        self.folder, self.events = folder, events
        problem = folder / "problem.yaml"
        if not folder.exists():
            folder.mkdir(parents=True)
            problem.write_text(PROBLEM, "utf-8")
        self.settings = Settings(
            home=folder,
            problem=problem,
            source=SourceSettings(name="table", path=events),
            models={"enabled": MODELS},
        )

    def copy(self, folder: Path) -> Home:
        """Return a copy of the home in another folder."""
        shutil.copytree(self.folder, folder)
        return Home(folder, self.events)

    def run(self) -> bool:
        """Read what upstream has, train all models and choose the champion; as `tastemaker run`.

        Returns:
            False if a step failed, such as validation.
        """
        from tastemaker_pipelines.run import run

        return run(self.settings, select=SELECTED).success

    def served(self) -> tuple[Registry, Version]:
        """Return the version that answers, the champion or else the baseline, and where it is."""
        workspace = Workspace(self.settings)
        problem, registry = workspace.problem, workspace.registry
        newest = registry.champion(problem.name) or registry.newest(problem.baseline, problem=problem.name)
        return registry, newest


class Policy:
    """A way to keep a model in service."""

    name: ClassVar[str]

    def __init__(self, home: Home) -> None:
        self.home = home

    def after(self, night: int) -> None:
        """Do what the policy does after so many simulated days; the first run was before all policies."""
        raise NotImplementedError


class NeverRetrained(Policy):
    """The champion of the first night stays."""

    name = "never retrained"

    def after(self, night: int) -> None:
        pass


class Weekly(Policy):
    """Every seventh night all models are trained, and the best one that passes the test becomes champion."""

    name = "retrained weekly"

    def after(self, night: int) -> None:
        if night % 7 == 0:
            self.home.run()


class Automated(Policy):
    """..."""

    name = "automated"

    def after(self, night: int) -> None:
        self.home.run()


POLICIES: tuple[type[Policy], ...] = (NeverRetrained, Weekly, Automated)
"""Those that are compared; the last one is what the platform does by itself."""
