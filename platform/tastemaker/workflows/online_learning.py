"""Online learning in a workspace: read the log, update the model, and save a checkpoint."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event

import duckdb

from tastemaker.errors import TastemakerError
from tastemaker.event_log import postgres, spool_file
from tastemaker.event_log.drain import BATCH_RECORDS, drain, read_log
from tastemaker.event_log.postgres import DatabaseUnavailable
from tastemaker.event_log.shipping import collect, open_sink
from tastemaker.event_log.spool_file import FILE_NAME, Pending, SpoolError
from tastemaker.experiments.data_diversion import diverted_versions
from tastemaker.experiments.lifecycle.kills import PLAN
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.online_learning import checkpoints, replay
from tastemaker.online_learning.checkpoints import Checkpoints, LogPosition
from tastemaker.online_learning.learned_lists import LearnedLists, learned_lists
from tastemaker.online_learning.learner import Learner, LearningResult
from tastemaker.online_learning.replay import LoggedFeedback
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.registry.artifact import load_version
from tastemaker.settings import Settings
from tastemaker.util.file_lock import file_lock
from tastemaker.workflows.workspace import Workspace

GRACE_SECONDS = 1.0
"""Seconds from a record's time until it is on disk; a record that takes longer costs a replay."""
LATE_SECONDS = 600
"""Records that are later than this are learned when the whole log is read again."""
WHOLE_SECONDS = 600.0
"""Seconds between two reads of the whole log by a learner that follows it."""


class LearningSession:
    """Online learning of one version while its lock is held: see `learning_session`.

    Args:
        workspace: The workspace, whose log is read.
        version: The version to update; the caller holds its lock.
    """

    def __init__(self, workspace: Workspace, version: Version) -> None:
        settings = workspace.settings
        self._workspace, self._version = workspace, version
        states = Checkpoints(settings.learning_root, load_version(version.folder))
        states.sweep()
        self._learner = Learner(version, states)
        self._plan = _open_plan(workspace)

    def step(self, now: float | None = None, *, whole: bool = True) -> LearningResult:
        """Learn every impression whose feedback delay is over.

        Args:
            now: The time (seconds since 1970); None for the clock's.
            whole: Whether the whole log since the version's training is read, or only its last
                LATE_SECONDS.

        Returns:
            What was learned.

        Raises:
            TastemakerError: The log or a checkpoint can't be read or written.
        """
        settings, learner = self._workspace.settings, self._learner
        until = (
            (time.time() if now is None else now) - settings.learning.feedback_delay_seconds - GRACE_SECONDS
        )
        log = self._read(learner.start if whole else learner.tail(LATE_SECONDS))
        if not whole and not learner.matches(log):
            log = self._read(learner.start)
        return learner.learn(log, int(until))

    def _read(self, after: LogPosition) -> LoggedFeedback:
        settings = self._workspace.settings
        undrained = _undrained(settings)
        if undrained and len(undrained.records) == BATCH_RECORDS:
            collect(settings, self._workspace.lake)
            undrained = _undrained(settings)
        # They are read before the lake: records that get there in between are in both, and count once.
        return replay.read(
            self._workspace.lake,
            self._workspace.problem,
            versions=_learned_versions(self._workspace, self._version, self._plan),
            after=after,
            feedback_delay=settings.learning.feedback_delay_seconds,
            undrained=undrained,
        )

    def follow(
        self, stop: Event, *, on_update: Callable[[LearningResult], None], on_failure: Callable[[str], None]
    ) -> None:
        """Repeat `step` until `stop` is set.

        Args:
            stop: Ends the loop when it is set.
            on_update: Called after each step that learned something.
            on_failure: Called with the reason when a disk or a database is unavailable; the step is repeated.
        """
        read_at = -math.inf
        while not stop.is_set():
            whole = time.monotonic() > read_at + WHOLE_SECONDS
            began = time.monotonic()
            try:
                learned = self.step(whole=whole)
            except (DatabaseUnavailable, SpoolError, OSError, sqlite3.Error, duckdb.IOException) as error:
                on_failure(str(error))
            else:
                read_at = began if whole else read_at
                if learned.state is not None:
                    on_update(learned)
            stop.wait(self._workspace.settings.learning.poll_seconds)


def _undrained(settings: Settings) -> Pending | None:
    """Return the oldest records that the lake lacks: to move them at each poll would write a file each."""
    if settings.log.target == "postgres":
        drain(settings.spool, open_sink(settings))
        return postgres.waiting(settings.log_url, settings.lake)
    return spool_file.read(settings.spool / FILE_NAME, BATCH_RECORDS)


def lists_learned_by(workspace: Workspace, version: Version) -> list[LearnedLists]:
    """Return which lists a version learned from, in its training and online.

    Args:
        workspace: The home folder, with the log and the version's checkpoints.
        version: A version; what it learned online is that of its current checkpoint.

    Raises:
        TastemakerError: The plan of the experiments, or the log, can't be read.
    """
    loaded = load_version(version.folder)
    state = Checkpoints(workspace.settings.learning_root, loaded).current()
    versions = _learned_versions(workspace, version, _open_plan(workspace))
    window = version.manifest.window
    with workspace.lake.connect() as connection:
        learned_until = window.end if state is None else checkpoints.until(state)
        return learned_lists(connection, window, until=learned_until, versions=versions)


def _learned_versions(workspace: Workspace, version: Version, plan: PlanFile) -> set[str]:
    """Return the versions whose lists a version learns: all, or its own alone where its data are diverted."""
    if version.id in diverted_versions(plan.current().plan):
        return {version.id}
    return workspace.registry.ids(workspace.problem.name)


def _open_plan(workspace: Workspace) -> PlanFile:
    """Return the plan of the experiments. Raises TastemakerError rather than learn what it may forbid."""
    path = workspace.settings.experiments_root / PLAN
    plan = PlanFile(path)
    if plan.trouble is not None:
        raise TastemakerError(
            f"{path} says which lists are learned: {plan.trouble}",
            fix="write it again: tastemaker experiment plan --write",
        )
    return plan


class LearnerBusy(TastemakerError):
    """Error: another process learns for this version."""


@contextmanager
def learning_session(
    workspace: Workspace, version: Version, *, wait: bool = True
) -> Iterator[LearningSession]:
    """Open a learning session, which holds the version's lock.

    Args:
        workspace: The home folder, with the log and the version's checkpoints.
        version: The version to update.
        wait: Whether to wait for the lock, and take over when the other process ends.

    Yields:
        The session, for the time of the block.

    Raises:
        LearnerBusy: Another process holds the lock, and `wait` is false.
    """
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(workspace.settings.learning_root / version.id / ".lock", wait=wait))
        except BlockingIOError:
            raise LearnerBusy(
                f"another process already learns for {version.model} {version.id}",
                fix="keep that process, or stop it first",
            ) from None
        yield LearningSession(workspace, version)


def served_learners(workspace: Workspace) -> list[Version]:
    """Return the newest version that has answered requests, by the log, of each model that learns online."""
    versions = set(read_log(workspace.lake)["version"].to_pylist())
    found: dict[str, Version] = {}
    for version in workspace.registry.list(problem=workspace.problem.name):  # newest first
        if version.id in versions and discovery.get(version.model).recommender.capabilities.learns_online:
            found.setdefault(version.model, version)
    return list(found.values())
