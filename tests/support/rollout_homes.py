"""A home with a champion and a better challenger, whose versions a rollout brings into production."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, event

from support import registered_versions
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.settings import Settings
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


def add(workspace: Workspace, weight: float, values: np.ndarray, seed: int = 0) -> Version:
    """Register a toy with a backtest."""
    backtest = _backtest(workspace, "toy", {"weight": weight}, values, age_days=int(weight) + seed)
    return registered_versions.add(
        workspace.registry, weight=weight, backtest_id=backtest, spec=workspace.problem
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
