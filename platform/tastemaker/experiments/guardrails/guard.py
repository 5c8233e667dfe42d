"""The guard: checks the experiments that run, stores what it found, and holds, rolls back or steps.

The service's metrics are checked each minute and the users' each hour. What the controller took out of
service is rolled back within seconds. What it needs is in the database and in the log: a guard that was
killed begins again, and two guards do nothing twice, since a change names those that its actor has seen.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from threading import Event
from typing import NamedTuple, Protocol

import duckdb

from tastemaker.errors import TastemakerError
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.guardrails.checks import (
    GuardrailCheck,
    RewardUnits,
    current,
    incident,
    metric_checks,
    ratio_checks,
)
from tastemaker.experiments.guardrails.decisions import (
    STEP,
    GuardDecision,
    Situation,
    bandit_step,
    began_at,
    crashed,
    decide,
    is_step_due,
)
from tastemaker.experiments.guardrails.metric_guards import metric_guards
from tastemaker.experiments.guardrails.serving_units import EpochQuery, serving_units
from tastemaker.experiments.guardrails.stored_checks import CheckStore
from tastemaker.experiments.guardrails.verdicts import MetricGuard
from tastemaker.experiments.lifecycle.audit import Change
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.experiments.lifecycle.states import ACTIVE
from tastemaker.experiments.lifecycle.store import Experiments
from tastemaker.experiments.tripped import TripFiles
from tastemaker.util.durations import DAY_SECONDS
from tastemaker.util.failure_log import FailureLog

CHECK_SECONDS = 60.0
"""How often the service's metrics are checked."""
REWARD_SECONDS = 3_600.0
"""How often the users' metrics are checked."""
REWARD_SHARE = 0.05
"""Of the time, the most that checks of one experiment's users take: where they take long, they are fewer."""
LOOK_SECONDS = 1.0
"""How often the guard looks for variants that the controller took out of service."""
GUARDED_KINDS = ("ab", "aa", "bandit", "rollout")
"""Kinds whose variants have units of their own. A list of an interleaved experiment is of two variants, and
no user sees those of a shadow."""

logger = logging.getLogger("tastemaker.experiments")


class GuardReport(NamedTuple):
    """What a check of an experiment found and did."""

    experiment: str
    epoch: int
    checks: Sequence[GuardrailCheck]
    """The newest of each guardrail and variant."""
    decision: GuardDecision | None
    refusal: str | None
    """Why the decision was not carried out, or nothing could be checked; None if all was done."""


class RewardSource(Protocol):
    """Reader of what users did."""

    def is_higher_better(self, metric: str) -> bool:
        """Return whether more of a metric is better."""

    def read(self, experiment: Experiment, *, started_at: float, now: float) -> RewardUnits | None:
        """Return the units of the epoch in force; None if there are no current data.

        Args:
            experiment: The experiment, as it is stored.
            started_at: When the epoch began, seconds since 1970 UTC.
            now: Seconds since 1970 UTC.
        """

    def probabilities_of_best(self, experiment: Experiment, *, now: float) -> Mapping[str, float] | None:
        """Return the probability of each variant of a bandit that it is the best by the primary metric.

        Args:
            experiment: The experiment, of whose epochs all count whose units keep their variants.
            now: Seconds since 1970 UTC.

        Returns:
            Probabilities that add up to 1; None while there are too few matured units.
        """


class _Memory:
    """What the guard knows of an experiment from the checks before, as long as it is not changed."""

    def __init__(self, changes: int) -> None:
        self.changes = changes
        self.harmful: set[tuple[str, str]] = set()
        """Variants and guardrails of which the last check said so."""
        self.rewards: Sequence[GuardrailCheck] = ()
        self.rewards_at = self.rewards_due = self.allocated_at = float("-inf")

    def notice(self, checks: Sequence[GuardrailCheck]) -> None:
        """Remember the checks for those that follow."""
        self.harmful -= {(one.variant, one.guardrail) for one in checks}
        self.harmful |= {(one.variant, one.guardrail) for one in checks if one.found.verdict == "harm"}


class Guard:
    """The guard of one home folder's experiments. Not thread-safe."""

    def __init__(
        self,
        experiments: Experiments,
        requests: AssignedRequests,
        rewards: RewardSource,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without a check.

        Args:
            experiments: The experiments, which it changes.
            requests: Reads what the service did.
            rewards: Reads what users did.
            wall: Returns seconds since 1970 UTC.
            monotonic: Returns seconds that are never set back.
        """
        self._experiments, self._requests, self._rewards = experiments, requests, rewards
        self._wall, self._monotonic = wall, monotonic
        self._ahead = wall() - monotonic()
        self._trips = TripFiles(experiments.folder)
        self._over: set[tuple[str, int]] = set()
        """Experiments and epochs whose trips have no effect any more."""
        self._store = CheckStore(experiments.engine)
        self._memories: dict[str, _Memory] = {}
        self._failures: dict[str, FailureLog] = {}

    def run(self, stop: Event, report: Callable[[Sequence[GuardReport]], object]) -> None:
        """Check until `stop` is set; what fails is logged and tried again.

        Args:
            stop: Ends the loop.
            report: Called with the reports of each check.
        """
        next_check = float("-inf")
        while not stop.is_set():
            try:
                self.act_on_trips()
                if self._monotonic() >= next_check:
                    report(self.check())
                    next_check = self._monotonic() + CHECK_SECONDS
                self._log("checks").succeeded()
            except Exception as error:  # of a database, a disk or a plugin: the next look may succeed
                self._log("checks").failed("experiments can't be checked", detail=error)
            stop.wait(LOOK_SECONDS)

    def check(self) -> list[GuardReport]:
        """Check all experiments that run or are held once, and act on what is found."""
        self._keep_plan()
        active = [one for one in self._experiments.list(ACTIVE) if one.kind in GUARDED_KINDS]
        histories = {one.name: self._experiments.history(one.name) for one in active}
        is_read = self._read_log(active, histories)
        return [self._report(one, histories[one.name], is_read=is_read) for one in active]

    def _report(self, experiment: Experiment, history: Sequence[Change], *, is_read: bool) -> GuardReport:
        """Check one experiment; what fails does not stop the checks of others."""
        log = self._log(f"{experiment.name}: checks")
        try:
            found = self._check(experiment, history, is_read=is_read)
            log.succeeded()
            return found
        except Exception as error:  # such as a metric that the problem has no more
            log.failed(f"{experiment.name} can't be checked", detail=error)
            return GuardReport(experiment.name, experiment.epoch, (), None, str(error))

    def _keep_plan(self) -> None:
        """Record kills that the database does not have yet, and units that held experiments got late."""
        log = self._log("plan")
        try:
            self._experiments.settle_kills()
            if self._experiments.list(("holding",)):
                self._experiments.publish()
            log.succeeded()
        except (TastemakerError, OSError) as error:
            log.failed("the experiments' plan can't be compiled", detail=error)

    def act_on_trips(self) -> None:
        """Roll back experiments of which the controller took a variant out of service."""
        new = [one for one in self._trips.current().values() if (one.experiment, one.epoch) not in self._over]
        active = {one.name: one for one in self._experiments.list(ACTIVE)} if new else {}
        for tripped in new:
            found = active.get(tripped.experiment)
            variant, trip = next(iter(tripped.trips.items()))
            decision = crashed(variant, trip.reason, {"tripped_at": trip.tripped_at})
            is_over = found is None or found.epoch != tripped.epoch
            if is_over or (found is not None and self._act(found, decision) is None):
                self._over.add((tripped.experiment, tripped.epoch))

    def _check(self, experiment: Experiment, history: Sequence[Change], *, is_read: bool) -> GuardReport:
        memory = self._memories.get(experiment.name)
        if memory is None or memory.changes != experiment.changes:
            memory = self._memories[experiment.name] = _Memory(experiment.changes)
        guards = metric_guards(experiment.design, experiment.epoch, self._rewards.is_higher_better)
        fresh, fault = self._serving_checks(experiment, guards) if is_read else _stale(experiment, guards)
        if (begun := self._monotonic()) >= memory.rewards_due:
            memory.rewards = list(self._reward_checks(experiment, guards, history))
            memory.rewards_at = self._monotonic()
            taken = memory.rewards_at - begun
            memory.rewards_due = memory.rewards_at + max(REWARD_SECONDS, taken / REWARD_SHARE)
            fresh = [*fresh, *memory.rewards]
        situation = Situation(experiment.state, experiment.epoch, history, frozenset(memory.harmful))
        decision = decide(situation, fresh, incident=fault)
        refusal = None if decision is None else self._act(experiment, decision)
        memory.notice(fresh)
        self._store.add(experiment, fresh, decision if refusal is None else None)
        checks = [*fresh, *(one for one in memory.rewards if one not in fresh)]
        if decision is None and (decision := self._scheduled(experiment, history, checks)) is not None:
            refusal = self._act(experiment, decision)
        return GuardReport(experiment.name, experiment.epoch, checks, decision, refusal)

    def _scheduled(
        self, experiment: Experiment, history: Sequence[Change], checks: Sequence[GuardrailCheck]
    ) -> GuardDecision | None:
        """Return what is to be done because its time has come."""
        now = self._steady_now()
        if not is_step_due(experiment, history, checks, now):
            return None
        if experiment.kind != "bandit":
            return STEP
        memory = self._memories[experiment.name]
        if memory.rewards_at == memory.allocated_at:
            return None
        memory.allocated_at = memory.rewards_at
        log = self._log(f"{experiment.name}: shares")
        try:
            found = self._rewards.probabilities_of_best(experiment, now=self._wall())
        except (duckdb.Error, TastemakerError) as error:
            log.failed(f"{experiment.name}: its shares can't be computed", detail=error)
            return None
        log.succeeded()
        return bandit_step(experiment, history, found, now)

    def _serving_checks(
        self, experiment: Experiment, guards: Mapping[str, Sequence[MetricGuard]]
    ) -> tuple[list[GuardrailCheck], str | None]:
        """Return the checks of the service's metrics, and the metric by which all variants are faulty."""
        design, now = experiment.design, self._wall()
        if not experiment.is_routed:
            return [], None
        versions = {name: one.version for name, one in design.variants.items()}
        query = EpochQuery(experiment.name, experiment.epoch, versions, now)
        connection = self._requests.connection
        try:
            units = current(serving_units(connection, query), now)
        except (duckdb.Error, TastemakerError) as error:
            self._log(experiment.name).failed(f"{experiment.name}: its requests can't be read", detail=error)
            return _stale(experiment, guards)
        self._log(experiment.name).succeeded()
        if units is None:
            return _stale(experiment, guards)
        checks = metric_checks(design, guards, "serving", units.summaries)
        return [*checks, *ratio_checks(design, units.counts)], incident(design, units.recent)

    def _reward_checks(
        self, experiment: Experiment, guards: Mapping[str, Sequence[MetricGuard]], history: Sequence[Change]
    ) -> Iterator[GuardrailCheck]:
        """Yield the checks of the users' metrics; of flags, whose lists are not ours, also of the ratio."""
        design, units = experiment.design, None
        log = self._log(f"{experiment.name}: rewards")
        try:
            units = self._while_acting(
                partial(
                    self._rewards.read,
                    experiment,
                    started_at=began_at(experiment, history),
                    now=self._wall(),
                )
            )
            log.succeeded()
        except (duckdb.Error, TastemakerError) as error:
            log.failed(f"{experiment.name}: what its users did can't be read", detail=error)
        yield from metric_checks(design, guards, "reward", units and units.summaries)
        if not experiment.is_routed:
            yield from ratio_checks(design, units and units.counts)

    def _while_acting(self, read: Callable[[], RewardUnits | None]) -> RewardUnits | None:
        """Return what is read, which may take minutes: trips are acted on meanwhile."""
        with ThreadPoolExecutor(1) as readers:
            reading = readers.submit(read)
            while not wait((reading,), LOOK_SECONDS).done:
                try:
                    self.act_on_trips()
                    self._log("trips").succeeded()
                except Exception as error:  # of a database or a disk: the next look may succeed
                    self._log("trips").failed("trips can't be read while users are counted", detail=error)
        return reading.result()

    def _read_log(self, active: Sequence[Experiment], histories: Mapping[str, Sequence[Change]]) -> bool:
        """Read what is new in the log; return whether that worked."""
        # First: an epoch that is opened meanwhile may have requests, and no file is read twice.
        self._requests.keep([(one.name, one.epoch) for one in active])
        if not active:
            return True
        began = min(began_at(one, histories[one.name]) for one in active)
        log = self._log("log")
        try:
            # A day more: the clock may have been set back since.
            self._requests.read(max(began - DAY_SECONDS, 0.0))
        except (duckdb.Error, sqlite3.Error, OSError, TastemakerError) as error:
            log.failed("the log of requests can't be read, so that figures are stale", detail=error)
            return False
        log.succeeded()
        return True

    def _act(self, experiment: Experiment, decision: GuardDecision) -> str | None:
        """Carry out a decision; return why it was refused, None if it was not."""
        log = self._log(f"{experiment.name}: {decision.action}")
        try:
            self._experiments.change(
                experiment.name,
                decision.action,
                actor=decision.actor,
                reason=decision.reason,
                evidence=decision.evidence,
                expected_changes=experiment.changes,
                design=decision.design,
            )
        except TastemakerError as error:  # also where the plan's file can't be written: others are checked
            log.failed(f"{experiment.name}: {decision.action} by {decision.actor} failed", detail=error)
            return error.problem
        log.succeeded()
        logger.info("%s: %s by %s: %s", experiment.name, decision.action, decision.actor, decision.reason)
        return None

    def _steady_now(self) -> float:
        """Return the time by the clock that is behind: one that is set forward ends no step early."""
        return min(self._wall(), self._ahead + self._monotonic())

    def _log(self, part: str) -> FailureLog:
        return self._failures.setdefault(part, FailureLog(logger, f"{part}: works again"))


def _stale(
    experiment: Experiment, guards: Mapping[str, Sequence[MetricGuard]]
) -> tuple[list[GuardrailCheck], str | None]:
    """Return the checks of the service's metrics without current data."""
    if not experiment.is_routed:
        return [], None
    design = experiment.design
    return [*metric_checks(design, guards, "serving", None), *ratio_checks(design, None)], None
