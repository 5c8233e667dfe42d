"""A home whose experiment runs, its log and its guard, with a clock that tests set."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import select

from support.experiment_homes import ExperimentHome
from support.request_logs import fill, request
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Assignment, Record
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.guardrails.checks import RewardUnits
from tastemaker.experiments.guardrails.guard import Guard, GuardReport
from tastemaker.experiments.guardrails.verdicts import OVER, UNDER
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.settings import Settings
from tastemaker.stats.unit_summary import UnitSummary
from tastemaker.storage.tables import guardrail_checks

HOUR = 3_600.0


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.wall, self.monotonic = time.time(), 1_000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


class Clickers:
    """What users did: the share of the units of each variant that clicked."""

    def __init__(self, n: int = 4_000, **shares: float) -> None:
        self.n, self.shares, self.failure = n, shares or {"a": 0.3, "b": 0.36}, ""
        self.is_stale = False
        self.best: dict[str, float] | None = None

    def is_higher_better(self, metric: str) -> bool:
        return True

    def read(self, experiment: Experiment, *, started_at: float, now: float) -> RewardUnits | None:
        if self.failure:
            raise TastemakerError(self.failure, fix="correct it")
        summaries = {
            name: UnitSummary.of({OVER: np.arange(self.n) < self.n * share, UNDER: np.ones(self.n)})
            for name, share in self.shares.items()
        }
        counts = dict.fromkeys(self.shares, self.n)
        return None if self.is_stale else RewardUnits(counts, {"reward_per_user": summaries})

    def probabilities_of_best(self, experiment: Experiment, *, now: float) -> dict[str, float] | None:
        return self.best


class World:
    """A home whose experiment runs, its log, and the guard."""

    def __init__(self, home: ExperimentHome, folder: Path, requests: AssignedRequests) -> None:
        self.home, self.settings = home, Settings(home=folder)
        self.clock, self.users = Clock(), Clickers()
        self.requests, self._number = requests, 0
        self.guard = self.started()

    def started(self) -> Guard:
        """A guard as a new process begins."""
        clock = self.clock
        return Guard(
            self.home.experiments, self.requests, self.users,
            wall=lambda: clock.wall, monotonic=lambda: clock.monotonic,
        )  # fmt: skip

    def serve(self, units: int = 400, ago: float = 5.0, **faulty: float) -> None:
        """Log a list for new units of both variants, of which shares are fallbacks."""
        experiment = self.home.experiments.get("ranker-2")
        lists = []
        for variant, its in experiment.design.variants.items():
            bad = round(units * faulty.get(variant, 0.0))
            lists += [self._list(experiment, variant, its.version or "", n < bad, ago) for n in range(units)]
        fill(self.settings.spool, lists)

    def _list(self, experiment: Experiment, variant: str, version: str, bad: bool, ago: float) -> Record:
        self._number += 1
        assignment = Assignment(
            experiment.name, experiment.epoch, variant, 0.5, served=None if bad else variant,
            unit=f"unit-{self._number}",
        )  # fmt: skip
        fallback = "model_timeout" if bad else None
        at = self.clock.wall - ago
        return request(
            self._number, assignment=assignment, version=version, fallback=fallback, occurred_at=at
        )

    def check(self, *, after: float = 60.0) -> GuardReport:
        self.clock.pass_by(after)
        (report,) = self.guard.check()
        return report

    def start_again(self, **changed: Any) -> None:
        """Begin a new epoch with a changed design."""
        design = msgspec.structs.replace(self.home.experiments.get("ranker-2").design, **changed)
        self.home.do("ranker-2", "new_epoch", design=design)

    @property
    def enrolment(self) -> int:
        return self.home.experiments.get("ranker-2").enrolment

    @property
    def state(self) -> str:
        return self.home.experiments.get("ranker-2").state

    def stored(self) -> list[Any]:
        with self.home.experiments.engine.connect() as connection:
            return list(connection.execute(select(guardrail_checks).order_by(guardrail_checks.c.id)).all())


def last_change(world: World) -> tuple[str, str]:
    change = world.home.experiments.history("ranker-2")[-1]
    return change.actor, change.action
