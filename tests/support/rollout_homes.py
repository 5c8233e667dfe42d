"""A home with a champion and a better challenger, whose versions a rollout brings into production."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, event

from support import experiment_homes, registered_versions
from support.registered_versions import Toy
from support.request_logs import fill, request
from tastemaker.event_log.records import Assignment, Entry, Record, ShadowRecord
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.guardrails.checks import RewardUnits
from tastemaker.experiments.guardrails.guard import Guard
from tastemaker.experiments.guardrails.verdicts import OVER, UNDER
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.settings import Settings
from tastemaker.stats.unit_summary import UnitSummary
from tastemaker.workflows.experiment_draft import CONTROL
from tastemaker.workflows.rollouts.designs import NEW
from tastemaker.workflows.workspace import Workspace

PERSON = "ada"
PROBLEM = "name: shop\nobjectives: [{name: sales, events: {purchase: {window_days: 3}}}]\n"
RNG = np.random.default_rng(0)
BASE = RNG.uniform(0, 0.5, 500)
BETTER = BASE + RNG.uniform(0, 0.2, 500)
BEST = BETTER + RNG.uniform(0, 0.1, 500)


class RolloutHome(NamedTuple):
    """A home with two versions of toys; the first is the champion unless the test says otherwise."""

    workspace: Workspace
    first: Version
    second: Version

    def run_experiment(self, name: str) -> None:
        """Start an experiment of a person over the two versions."""
        experiments = self.workspace.experiments
        design = experiment_homes.design(name, self.first.id, self.second.id)
        experiments.create(design, PERSON, new_unit="user")
        for action, confirmed in (("ready", ()), ("start", ("aa",))):
            experiments.change(name, action, actor=PERSON, reason="as planned", confirmed=confirmed)


def make(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, champion: bool = True, **promotion: Any
) -> RolloutHome:
    """Make a home in a folder, with settings of `[promotion]`."""
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    file = folder / "problem.yaml"
    file.write_text(PROBLEM)
    workspace = Workspace(Settings(home=folder / "home", problem=file, promotion=promotion))
    first = add(workspace, 1.0, BETTER)
    second = add(workspace, 2.0, BEST)
    _backtest(workspace, "popularity", {}, BASE)
    if champion:
        workspace.registry.make_champion(first, "it is the first", forced=False)
    return RolloutHome(workspace, first, second)


def add(
    workspace: Workspace, weight: float, values: np.ndarray, seed: int = 0, kind: type[Toy] = Toy
) -> Version:
    """Register a toy with a backtest, the more recent the smaller its weight and seed are."""
    backtest = _backtest(workspace, kind.name, {"weight": weight}, values, age_days=int(weight) + seed)
    return registered_versions.add(
        workspace.registry, weight=weight, backtest_id=backtest, spec=workspace.problem, kind=kind
    )


def _backtest(
    workspace: Workspace, model: str, config: dict[str, Any], values: np.ndarray, **more: Any
) -> str:
    return registered_versions.put_backtest(
        workspace.engine, workspace.settings.artifacts, model, values.tolist(), config=config, **more
    )


class Killed(BaseException):
    """What a process that is killed does not survive."""


@contextmanager
def killed_after(engine: Engine, commits: int) -> Iterator[Callable[[], bool]]:
    """Raise Killed right after so many commits, once; yield a function that returns whether that happened."""
    left = commits

    def commit_and_kill(connection: Connection) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            driver = connection.connection.dbapi_connection
            assert driver is not None
            driver.commit()
            raise Killed

    event.listen(engine, "commit", commit_and_kill)
    try:
        yield lambda: left <= 0
    finally:
        event.remove(engine, "commit", commit_and_kill)


class Users:
    """What users did: the mean reward of the units of each variant."""

    def __init__(self, **shares: float) -> None:
        self.shares = {CONTROL: 0.3, NEW: 0.3} | shares

    def is_higher_better(self, metric: str) -> bool:
        return True

    def read(self, experiment: Experiment, *, started_at: float, now: float) -> RewardUnits:
        summaries = {
            name: UnitSummary.of({OVER: np.arange(4_000) < 4_000 * share, UNDER: np.ones(4_000)})
            for name, share in self.shares.items()
        }
        return RewardUnits(dict.fromkeys(self.shares, 4_000), {"reward_per_user": summaries})

    def probabilities_of_best(self, experiment: Experiment, *, now: float) -> None:
        return None


class Traffic:
    """The log of a home, and the guard that reads it."""

    def __init__(self, home: RolloutHome, requests: AssignedRequests) -> None:
        self.home, self.users, self._number, self._minutes = home, Users(), 0, 0
        self.guard = Guard(
            home.workspace.experiments, requests, self.users, monotonic=lambda: 60.0 * self._minutes
        )

    def shadow(self, name: str, users: int = 200, faulty: float = 0.0) -> None:
        """Log lists of users, and the answers of a shadow to copies of them."""
        records: list[Entry] = []
        for one in range(users):
            served = self._list(f"user-{one}")
            assignment = Assignment(name, 0, NEW, 0.1, NEW, unit=served.user_id)
            fallback = "model_timeout" if one < users * faulty else None
            copy = self._list(served.user_id, assignment=assignment, fallback=fallback)
            records += [served, ShadowRecord(served.request_id, copy)]
        fill(self.home.workspace.settings.spool, records)

    def canary(self, name: str, units: int = 1_000, faulty: float = 0.0, checks: int = 1) -> None:
        """Log lists of new units of both variants, and have the guard check them."""
        experiment = self.home.workspace.experiments.get(name)
        lists: list[Entry] = []
        for variant, its in experiment.design.variants.items():
            for one in range(units):
                is_bad = variant == NEW and one < units * faulty
                served = None if is_bad else variant
                unit = f"unit-{self._number}"
                assignment = Assignment(name, experiment.epoch, variant, 0.5, served, unit=unit)
                lists.append(self._list(unit, assignment=assignment, version=its.version))
        fill(self.home.workspace.settings.spool, lists)
        for _ in range(checks):
            self._minutes += 61  # what users did is checked each hour
            self.guard.check()

    def _list(self, user: str, **more: Any) -> Record:
        self._number += 1
        return request(self._number, user_id=user, occurred_at=time.time() - 1, **more)


@contextmanager
def traffic(home: RolloutHome) -> Iterator[Traffic]:
    """Open the guard of a home whose log is written by the test."""
    with closing(AssignedRequests(home.workspace.settings)) as requests:
        yield Traffic(home, requests)
