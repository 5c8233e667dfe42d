"""When a shop's models are trained again, and what enters service: three policies, each with a home of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import automation_model
from automation_shop import ChangingShop

from tastemaker.registry import Version
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


class Policy(Protocol):
    """A way to keep a model in service."""

    name: str

    def after(self, night: int) -> None:
        """Do what the policy does after so many simulated days."""


class Home:
    """A home folder of a changing shop."""

    def __init__(self, folder: Path, shop: ChangingShop) -> None:
        folder.mkdir(parents=True)
        problem, self.events = folder / "problem.yaml", folder / "events.parquet"
        problem.write_text(PROBLEM, "utf-8")
        self.shop = shop
        self.settings = Settings(
            home=folder,
            problem=problem,
            source=SourceSettings(name="table", path=self.events),
            models={"enabled": MODELS},
        )

    def run(self, night: int) -> bool:
        """Read what upstream has after a night, train all models and choose the champion; as `tastemaker run`.

        Returns:
            False if a step failed, such as validation.
        """
        from tastemaker_pipelines.run import run

        self.shop.deliver(night, self.events)
        return run(self.settings, select=SELECTED).success

    def served(self) -> Version:
        """Return the version that answers: the champion, else the baseline."""
        workspace = Workspace(self.settings)
        problem = workspace.problem
        return workspace.registry.champion(problem.name) or workspace.registry.newest(
            problem.baseline, problem=problem.name
        )


class NeverRetrained:
    """The model of the first night stays."""

    name = "never retrained"

    def __init__(self, home: Home) -> None:
        self.home = home

    def after(self, night: int) -> None:
        if night == 0:
            self.home.run(night)


class Weekly(NeverRetrained):
    """Every seventh night all models are trained, and the best one that passes the test becomes champion."""

    name = "retrained weekly"

    def after(self, night: int) -> None:
        if night % 7 == 0:
            self.home.run(night)


class Automated(NeverRetrained):
    """..."""

    name = "automated"

    def after(self, night: int) -> None:
        self.home.run(night)
