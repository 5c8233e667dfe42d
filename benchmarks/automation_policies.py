"""Three policies of training a shop's models again, each with a home folder of its own."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import automation_model
import dagster as dg
from automation_shop import ChangingShop
from automation_traffic import DAY_HOURS, ROLLOUT, Traffic

from tastemaker.registry import Registry, Version
from tastemaker.rollouts.store import list_rollouts
from tastemaker.settings import Settings, SourceSettings
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.automation.new_days import new_days_sensor
from tastemaker_pipelines.automation.sensors import TRAINED
from tastemaker_pipelines.definitions import build_defs
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.resources import LazyWorkspace
from tastemaker_pipelines.run import run

MODELS = ("popularity", automation_model.NAME)
PATHS: Mapping[str, Mapping[str, Any]] = {"rollout": ROLLOUT, "offline": {"path": "offline"}}
"""Path into production -> settings of promotion."""
PROBLEM = """
name: a shop that changes
objectives:
  - name: interest
    events: {purchase: {weight: 1.0}, cart: {weight: 0.5}, view: {weight: 0.1}}
split: {test_days: 7}
candidates: {available_days: 14}
"""
UP_TO_CHAMPION, UP_TO_EVENTS = "+key:champion", "+key:events"
"""Selections of assets: all that leads to the champion, and to the events that models learn from."""


class Home:
    """A home folder of a changing shop, which reads what upstream has from a file."""

    def __init__(
        self, folder: Path, events: Path, promotion: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
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
            promotion=dict(promotion),
        )

    def copy(self, folder: Path, promotion: Mapping[str, Any]) -> Home:
        """Return a copy of the home in another folder, with other settings of promotion."""
        shutil.copytree(self.folder, folder)
        return Home(folder, self.events, promotion)

    def run(self, select: str = UP_TO_CHAMPION) -> bool:
        """Materialize assets from what upstream has now, as `tastemaker run` does.

        Args:
            select: The assets.

        Returns:
            False if a step failed, such as validation.
        """
        return run(self.settings, select=select).success

    def versions(self) -> list[Version]:
        """Return the versions of all models that were trained."""
        return Workspace(self.settings).registry.list()

    def rollouts(self) -> Counter[str]:
        """Return how many versions began to enter production, by the state of it."""
        workspace = Workspace(self.settings)
        return Counter(one.state for one in list_rollouts(workspace.engine, workspace.problem.name))

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

    def serve(self, shop: ChangingShop, night: int) -> float:
        """Serve the day after a night, and return the expected clicks per list.

        Args:
            shop: The shop.
            night: The number of simulated days before.
        """
        return shop.clicks(night, shop.lists(night, *self.home.served()))


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
    """The platform's sensors decide what is landed and trained; they are evaluated once per simulated day.

    On the path rollout a version enters production by shadow, canary and ramp, as guardrails allow.
    """

    name = "automated"

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self._landed: str | None = None
        self._evaluated: dg.AssetDaemonCursor | None = None

    @cached_property
    def traffic(self) -> Traffic:
        """What the shop's users ask and do."""
        return Traffic(self.home.settings)

    def after(self, night: int) -> None:
        self.poll(night)

    def serve(self, shop: ChangingShop, night: int) -> float:
        parts = [*self.traffic.serve(shop, night)]
        clicks = sum(hours * mean for hours, mean in parts)
        if left := DAY_HOURS - sum(hours for hours, _ in parts):
            clicks += left * super().serve(shop, night)
        return clicks / DAY_HOURS

    def poll(self, days: int = 0) -> int:
        """Evaluate the sensors and carry out what they request, and return the number of runs.

        Args:
            days: How far the time of the evaluation is ahead of the clock: a simulated day takes seconds.
        """
        runs = 0
        if self._has_new_days():
            self.home.run(UP_TO_EVENTS)
            runs += 1
        if requested := self._met(datetime.now(UTC) + timedelta(days=days)):
            self.home.run(" or ".join(f'key:"{key.to_user_string()}"' for key in requested))
            runs += 1
        return runs

    def _has_new_days(self) -> bool:
        """Return whether the sensor of new days requests a run."""
        workspace = LazyWorkspace(self.home.settings)
        sensor = new_days_sensor(workspace.open().settings.automation.poll_seconds)
        with open_instance(self.home.settings) as instance:
            context = dg.build_sensor_context(
                instance, cursor=self._landed, resources={"workspace": workspace}
            )
            found = sensor.evaluate_tick(context)
        self._landed = found.cursor
        return bool(found.run_requests)

    def _met(self, now: datetime) -> list[dg.AssetKey]:
        """Return the assets whose conditions are met, of those that lead to the champion."""
        definitions = build_defs(LazyWorkspace(self.home.settings))
        with open_instance(self.home.settings) as instance:
            found = dg.evaluate_automation_conditions(
                definitions,
                instance,
                asset_selection=dg.AssetSelection.assets("champion").upstream() & TRAINED,
                evaluation_time=now,
                cursor=self._evaluated,
            )
        self._evaluated = found.cursor
        return [one.key for one in found.results if not one.true_subset.is_empty]


POLICIES: tuple[type[Policy], ...] = (NeverRetrained, Weekly, Automated)
"""Those that are compared; the last one is what the platform does by itself."""
