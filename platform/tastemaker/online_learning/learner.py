"""A version that goes on learning: a snapshot plus a replay of the log behind it.

The state is a function of the version and of the log before a moment, to the last bit: it does not matter
when a learner was stopped, how often it looked, or in which order and how often records arrived. Whatever
arrives with a place in the log that was passed already (a spool that was away for an hour) shows in the
digest of what was learned: the learner goes back to the newest snapshot before it, and replays from there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.online_learning.checkpoints import EMPTY, Checkpoint, Checkpoints, LogPosition
from tastemaker.online_learning.replay import LoggedFeedback
from tastemaker.plugins.recommender import Recommender
from tastemaker.plugins.safe_calls import update
from tastemaker.registry import Version
from tastemaker.registry.artifact import load_version


class LearningResult(NamedTuple):
    """What one pass came to."""

    requests: int
    impressions: int
    rewarded: int
    skipped: int
    """Impressions that the model refused, such as those with a context of another width."""
    replayed: bool
    """Whether it began at an earlier snapshot, as something had come late."""
    position: LogPosition
    state: str | None
    """The snapshot that was written, if anything was learned."""


class Learner:
    """One version's. Not for two threads, nor for two processes with one folder."""

    def __init__(self, version: Version, states: Checkpoints) -> None:
        """Goes on where the newest snapshot ends. Raises TastemakerError for a model that does not learn."""
        self._version, self._states = version, states
        loaded = load_version(version.folder)
        if not loaded.model.capabilities.learns_online:
            raise TastemakerError(
                f"model {version.model} does not learn online",
                fix="train it again (tastemaker run), or choose a model that does: a bandit",
            )
        self.start = LogPosition(version.manifest.window.end, EMPTY)
        """Where the log begins that the version was not trained on."""
        self._user_ids, self._item_ids = loaded.snapshot.user_ids, loaded.snapshot.item_ids
        self.model, self.position = next(states.sound(), self._fresh(loaded.model))

    def learn(self, lessons: LoggedFeedback, until: int) -> LearningResult:
        """Learn what was shown before `until` (seconds since 1970), and keep a snapshot of it.

        Unless `lessons` begin with `start` it must be that they hold what was learned: see `holds`. A moment
        that was passed before is taken for the present one: what was learned is not unlearned.
        """
        until = max(until, self.position.until)
        replayed = self._go_back(lessons)
        start, stop = lessons.before(self.position.until), lessons.before(until)
        skipped = self._teach(lessons, start, stop)
        before, requests = self.position, lessons.requests(start, stop)
        rewarded = lessons.rewarded(start, stop)
        self.position = LogPosition(
            until,
            lessons.digest(stop),
            before.impressions + stop - start,
            before.requests + requests,
            before.rewarded + rewarded,
        )
        state = self._states.save(self.model, self.position) if stop > start or replayed else None
        return LearningResult(requests, stop - start, rewarded, skipped, replayed, self.position, state)

    def holds(self, lessons: LoggedFeedback) -> bool:
        """Whether the log is still what was learned, as far as the lessons go back."""
        return _holds(lessons, self.position)

    def tail(self, seconds: int) -> LogPosition:
        """Where to read the log from if nothing came later than by so many seconds."""
        return self._states.older(self.position.until - seconds) or self.start

    def _teach(self, lessons: LoggedFeedback, start: int, stop: int) -> int:
        skipped = 0
        for feedback in lessons.taught(start, stop, self._user_ids, self._item_ids):
            try:
                update(self.model, feedback)
            except PluginError as error:
                if error.__cause__ is not None:  # no refusal, but a defect
                    raise
                skipped += len(feedback)
        return skipped

    def _go_back(self, lessons: LoggedFeedback) -> bool:
        """To the newest state whose past is still what it was; False if that is the present one."""
        if self.holds(lessons):
            return False
        fitting = (state for state in self._states.sound() if _holds(lessons, state.position))
        fresh = self._fresh(load_version(self._version.folder).model)
        self.model, self.position = next(fitting, fresh)
        self._states.drop_after(self.position)
        return True

    def _fresh(self, model: Recommender[Any]) -> Checkpoint:
        """The version as it was trained."""
        return Checkpoint(model, self.start)


def _holds(lessons: LoggedFeedback, position: LogPosition) -> bool:
    return lessons.digest(lessons.before(position.until)) == position.digest
