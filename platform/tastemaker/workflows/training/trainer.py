"""Trains models in a child process, and records each training with its reasons and cost."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, cast

from tastemaker.errors import TastemakerError
from tastemaker.evaluation import failures
from tastemaker.plugins.code_digest import code_digest
from tastemaker.trainings.estimates import estimate_memory
from tastemaker.trainings.records import (
    EVALUATED,
    FAILED,
    REGISTERED,
    UNCHANGED,
    Cost,
    Need,
    Reason,
)
from tastemaker.workflows.training.child_process import ChildProcess, TrainingEndedError
from tastemaker.workflows.training.jobs import Finished, Job
from tastemaker.workflows.training.memory import memory_limit, require_memory

if TYPE_CHECKING:
    from tastemaker.evaluation.results import Backtest
    from tastemaker.plugins.discovery import Plugin
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace

_EARLIER = 20
"""How many earlier trainings are read for the estimate: some are of another recipe, or fitted nothing."""


class Run(NamedTuple):
    """What a training is part of."""

    id: str
    """The orchestrator's id."""
    reasons: tuple[Reason, ...]


class Trainer:
    """Trains models of one workspace, one after the other, in one child process that reads the data once.

    A child that ended is replaced for the next model.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._child: ChildProcess | None = None

    def read_data(self) -> int:
        """Have the child read the data, if it has not, and return the number of events.

        Raises:
            TastemakerError: The data is too short for the problem, or is not readable, or needs more memory
                than a training may use.
        """
        read = self._ask(Job("data")).result
        if isinstance(read, Exception):
            raise read
        return cast("int", read)

    def backtest(
        self, plugin: Plugin, run: Run, *, progress: Callable[[int, int], None] = lambda done, of: None
    ) -> tuple[Backtest, Cost]:
        """Return a model's backtest and what it cost; it is run unless it is stored.

        Args:
            plugin: The model.
            run: The orchestrator's run that it is part of, and why it is trained.
            progress: Called with the number of users evaluated, and of all.

        Raises:
            TastemakerError: The model fails, or needs more memory than it may use.
        """
        finished = self._record(Job("backtest", plugin.name), plugin, run, progress)
        return cast("Backtest", finished.result), finished.cost

    def train(self, plugin: Plugin, run: Run) -> tuple[Version, Cost]:
        """Return a model's version for the current data and what it cost; it is fitted unless it exists.

        Args:
            plugin: The model.
            run: The orchestrator's run that it is part of, and why it is trained.

        Raises:
            TastemakerError: As `backtest`.
        """
        finished = self._record(Job("version", plugin.name), plugin, run, lambda done, of: None)
        return cast("Version", finished.result), finished.cost

    def close(self) -> None:
        """End the child process."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _record(self, job: Job, plugin: Plugin, run: Run, progress: Callable[[int, int], None]) -> Finished:
        records = self._workspace.training_records
        need = self._need(plugin)
        with records.training(run.id, plugin.name, run.reasons, need):
            finished = self._attempt(job, need, progress)
            failed = isinstance(finished.result, Exception)
            records.finish(
                run.id,
                plugin.name,
                FAILED if failed else _outcome(job, finished),
                finished.cost,
                version_id=None if failed or job.step != "version" else finished.result.id,
                problem_text=failures.reason_of(plugin.name, finished.result) if failed else None,
            )
        if failed:
            raise finished.result
        return finished

    def _attempt(self, job: Job, need: Need, progress: Callable[[int, int], None]) -> Finished:
        """Return how a job ended: also one that is refused, or whose process ended before it."""
        try:
            require_memory(job.model, need, self._workspace.settings)
            return self._ask(job, progress)
        except TrainingEndedError as error:
            ended = Finished(error, True, error.cost)
        except TastemakerError as refusal:
            ended = Finished(refusal, False, Cost())
        engine, problem = self._workspace.engine, self._workspace.problem.name
        failures.put(engine, problem, job.model, failures.reason_of(job.model, ended.result))
        return ended

    def _need(self, plugin: Plugin) -> Need:
        events, recipe = self.read_data(), self._recipe(plugin)
        earlier = self._workspace.training_records.of(plugin.name, _EARLIER)
        estimated = None if recipe is None else estimate_memory(earlier, events, recipe)
        return Need(events, recipe, estimated, memory_limit(self._workspace.settings))

    def _recipe(self, plugin: Plugin) -> str | None:
        """Return the digest of a model's code and config; None if the config is wrong: its step says so."""
        try:
            config = self._workspace.config(plugin).model_dump_json()
        except TastemakerError:
            return None
        text = f"{code_digest(plugin.recommender)} {config}"
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def _ask(self, job: Job, progress: Callable[[int, int], None] = lambda done, of: None) -> Finished:
        if self._child is None:
            self._child = ChildProcess.start(self._workspace.settings)
        try:
            return self._child.ask(job, progress)
        except BaseException:  # also a run that is interrupted: the child would continue with the job
            self.close()
            raise


def _outcome(job: Job, finished: Finished) -> str:
    if not finished.is_new:
        return UNCHANGED
    return REGISTERED if job.step == "version" else EVALUATED
