"""Who is champion: the log of promotions and rollbacks, and the contest that a version must win first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine, insert, select

from tastemaker.errors import RegistryError
from tastemaker.evaluation import results
from tastemaker.evaluation.bootstrap import Difference
from tastemaker.evaluation.results import Backtest
from tastemaker.registry.manifest import Manifest
from tastemaker.storage.tables import backtests, promotions

Action = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """One entry of the log."""

    problem: str
    version_id: str
    action: Action
    forced: bool
    reason: str
    """Why; for a promotion that was not forced, the contest's outcome."""
    at: datetime


@dataclass(frozen=True)
class Contest:
    """A version's backtest against that of the one to beat, on the same users."""

    model: str
    to_beat: str
    metric: str
    difference: Difference

    @property
    def won(self) -> bool:
        """The whole 95 % interval lies above 0: for every metric that a problem may name as primary, more is
        better. A NaN (one user) wins nothing."""
        return self.difference.low > 0

    def __str__(self) -> str:
        found = self.difference
        return (
            f"{self.model} - {self.to_beat} in {self.metric}: {found.difference:+.4f} "
            f"(95 % interval {found.low:+.4f} to {found.high:+.4f}, {found.n:,} users)"
        )


def hold_contest(engine: Engine, artifacts: Path, manifest: Manifest) -> Contest:
    """The contest, if the version won it. Raises RegistryError, with the figures, if it lost."""
    to_beat, metric = manifest.problem_spec["to_beat"], manifest.problem_spec["metric"]
    force = f"to promote it all the same: tastemaker models promote {manifest.version} --force REASON"
    mine = _evidence(engine, manifest)
    rival = None if mine is None else _rival(engine, mine, to_beat)
    if mine is None or rival is None:
        lacking = f"version {manifest.version}" if mine is None else f"{to_beat} on the same data"
        raise RegistryError(
            f"there is no backtest of {lacking}, so nothing shows that it beats {to_beat}",
            fix=f"run the backtests: tastemaker run; or {force}",
        )
    difference = results.compare(artifacts, mine, rival, metric)
    contest = Contest(mine.model, rival.model, metric, difference)
    if not contest.won:
        raise RegistryError(
            f"version {manifest.version} does not beat the one to beat: {contest}; "
            f"all of the interval must lie above 0",
            fix=force,
        )
    return contest


def record(
    engine: Engine, problem: str, version_id: str, action: Action, *, forced: bool, reason: str
) -> Promotion:
    """Append to the log; from then on the version is champion."""
    promotion = Promotion(problem, version_id, action, forced, reason, datetime.now(UTC))
    with engine.begin() as connection:
        connection.execute(insert(promotions).values(vars(promotion)))
    return promotion


def log(engine: Engine, problem: str) -> list[Promotion]:
    """Every promotion and rollback of a problem, oldest first."""
    columns = [promotions.c[name] for name in Promotion.__dataclass_fields__]
    query = select(*columns).where(promotions.c.problem == problem).order_by(promotions.c.id)
    with engine.connect() as connection:
        return [Promotion(**row) for row in connection.execute(query).mappings()]


def current(engine: Engine, problem: str) -> str | None:
    """The champion's version id."""
    entries = log(engine, problem)
    return entries[-1].version_id if entries else None


def predecessors(engine: Engine, problem: str) -> list[str]:
    """The champions before the current one, latest first, each once, without those that were rolled back.

    After the promotion of a, b and c and a rollback to b, only a is left to go back to.
    """
    stack: list[str] = []
    for entry in log(engine, problem):
        if entry.action == "rollback":
            while stack and stack[-1] != entry.version_id:
                stack.pop()
        if not stack or stack[-1] != entry.version_id:
            stack.append(entry.version_id)
    return [each for each in dict.fromkeys(reversed(stack)) if each != stack[-1]]


def _evidence(engine: Engine, manifest: Manifest) -> Backtest | None:
    """The version's backtest, if it is of this model, config and problem."""
    found = None if manifest.backtest_id is None else results.get(engine, manifest.backtest_id)
    if found is None:
        return None
    recipe = (manifest.model, manifest.config, manifest.problem)
    return found if (found.model, found.config, found.problem) == recipe else None


def _rival(engine: Engine, mine: Backtest, model: str) -> Backtest | None:
    """The newest backtest of the one to beat on the same data."""
    query = (
        select(backtests.c.id)
        .where(
            backtests.c.problem == mine.problem,
            backtests.c.model == model,
            backtests.c.data_hash == mine.data_hash,
        )
        .order_by(backtests.c.created_at.desc(), backtests.c.id)
        .limit(1)
    )
    with engine.connect() as connection:
        found = connection.execute(query).scalar()
    return None if found is None else results.get(engine, found)
