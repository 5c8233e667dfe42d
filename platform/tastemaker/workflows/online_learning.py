"""A learner in a workspace: brings the log in, learns what is final, and says what it came to."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event

import duckdb

from tastemaker.errors import TastemakerError
from tastemaker.event_log import spool_file
from tastemaker.event_log.drain import read_log
from tastemaker.event_log.postgres import DatabaseUnavailable
from tastemaker.event_log.shipping import collect
from tastemaker.event_log.spool_file import FILE_NAME, SpoolError
from tastemaker.online_learning import replay
from tastemaker.online_learning.checkpoints import Checkpoints, LogPosition
from tastemaker.online_learning.learner import Learner, LearningResult
from tastemaker.online_learning.replay import LoggedFeedback
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.registry.artifact import load_version
from tastemaker.util.file_lock import file_lock
from tastemaker.workflows.workspace import Workspace

GRACE_SECONDS = 1.0
"""From a record's moment until it is on disk. What takes longer comes late, which costs a replay."""
LATE_SECONDS = 600
"""Records that come later than by so much are learned when the whole log is read again."""
WHOLE_SECONDS = 600.0
"""How often a learner that follows the log reads the whole of it."""
UNDRAINED = 10_000
"""Records that a learner reads from the spool itself: drained at each look, the lake would get a file each
time.
"""


class LearningSession:
    """One version's learner, for as long as its lock is held: see `session`."""

    def __init__(self, workspace: Workspace, version: Version) -> None:
        settings = workspace.settings
        self._workspace, self._version = workspace, version
        states = Checkpoints(settings.learning_root, load_version(version.folder))
        states.sweep()
        self._learner = Learner(version, states)

    def step(self, now: float | None = None, *, whole: bool = True) -> LearningResult:
        """Learn everything whose reward is final by now. Raises TastemakerError.

        The `whole` log since the version's training is read, or what is less than LATE_SECONDS behind.
        """
        settings, learner = self._workspace.settings, self._learner
        moment = (
            (time.time() if now is None else now) - settings.learning.feedback_delay_seconds - GRACE_SECONDS
        )
        log = self._read(learner.start if whole else learner.tail(LATE_SECONDS))
        if not whole and not learner.matches(log):
            log = self._read(learner.start)
        return learner.learn(log, int(moment))

    def _read(self, after: LogPosition) -> LoggedFeedback:
        settings = self._workspace.settings
        path = settings.spool / FILE_NAME
        undrained = spool_file.read(path, UNDRAINED)
        if settings.log.target == "postgres" or (undrained and len(undrained.records) == UNDRAINED):
            collect(settings, self._workspace.lake)
            undrained = spool_file.read(path, UNDRAINED)
        # The spool was read before the lake will be: what is drained in between is in both, and counts once.
        problem = self._workspace.problem
        return replay.read(
            self._workspace.lake,
            problem,
            versions={one.id for one in self._workspace.registry.list(problem=problem.name)},
            after=after,
            feedback_delay=settings.learning.feedback_delay_seconds,
            undrained=undrained,
        )

    def follow(
        self, stop: Event, *, told: Callable[[LearningResult], None], away: Callable[[str], None]
    ) -> None:
        """Step after step until `stop` is set: `told` of each that learned something.

        `away` is told of each that failed as a disk or a database is away; it is tried again.
        """
        read_at = -math.inf
        while not stop.is_set():
            whole = time.monotonic() > read_at + WHOLE_SECONDS
            began = time.monotonic()
            try:
                learned = self.step(whole=whole)
            except (DatabaseUnavailable, SpoolError, OSError, sqlite3.Error, duckdb.IOException) as error:
                away(str(error))
            else:
                read_at = began if whole else read_at
                if learned.state is not None:
                    told(learned)
            stop.wait(self._workspace.settings.learning.poll_seconds)


class LearnerBusy(TastemakerError):
    """Another process learns for this version."""


@contextmanager
def learning_session(
    workspace: Workspace, version: Version, *, wait: bool = True
) -> Iterator[LearningSession]:
    """A session of its own: whoever comes second waits, and takes over when the first one ends or dies.

    Without `wait` it raises LearnerBusy instead.
    """
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(workspace.settings.learning_root / version.id / ".lock", wait=wait))
        except BlockingIOError:
            raise LearnerBusy(
                f"another process learns for {version.model} {version.id} already",
                fix="leave it to that one, or end it first",
            ) from None
        yield LearningSession(workspace, version)


def served_learners(workspace: Workspace) -> list[Version]:
    """Of each model that learns online the newest version that has answered requests, by the lake's log."""
    versions = set(read_log(workspace.lake)["version"].to_pylist())
    found: dict[str, Version] = {}
    for version in workspace.registry.list(problem=workspace.problem.name):  # newest first
        if version.id in versions and discovery.get(version.model).recommender.capabilities.learns_online:
            found.setdefault(version.model, version)
    return list(found.values())
