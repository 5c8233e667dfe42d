"""Online learner of a version: a checkpoint plus a replay of the log after it.

The state is a function of the version and of the log before a cutoff, to the last bit. It does not depend on
when a learner was stopped, how often it polled, or in which order and how often records arrived. A record
that arrives late, before the learner's position (from a spool that was unreachable for an hour), changes the
digest of the log: the learner returns to the newest checkpoint before it, and replays from there.
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
    """Result of a learning pass."""

    requests: int
    impressions: int
    rewarded: int
    skipped: int
    """Impressions that the model rejected, such as those with a context of another width."""
    replayed: bool
    """Whether it started at an earlier checkpoint because records had arrived late."""
    position: LogPosition
    state: str | None
    """Name of the checkpoint that was written; None if no impression was learned."""


class Learner:
    """Online learner of a version. Neither threads nor processes may share its folder."""

    def __init__(self, version: Version, states: Checkpoints) -> None:
        """Continue at the newest checkpoint that can be loaded, or at the version as it was trained.

        Args:
            version: The version, whose files are verified.
            states: Its checkpoints, which no other learner writes.

        Raises:
            TastemakerError: The model does not learn online.
        """
        self._version, self._states = version, states
        loaded = load_version(version.folder)
        if not loaded.model.capabilities.learns_online:
            raise TastemakerError(
                f"model {version.model} does not learn online",
                fix="train it again (tastemaker run), or choose a model that does: a bandit",
            )
        self.start = LogPosition(version.manifest.window.end, EMPTY)
        """Position after the log that the version was trained on."""
        self._user_ids, self._item_ids = loaded.snapshot.user_ids, loaded.snapshot.item_ids
        self.model, self.position = next(states.loadable(), self._fresh(loaded.model))

    def learn(self, log: LoggedFeedback, until: int) -> LearningResult:
        """Learn the impressions before a cutoff, and write a checkpoint.

        Args:
            log: Impressions from `start` on, or from a later position if `matches(log)`.
            until: The cutoff, seconds since 1970. A cutoff before the present position has no effect:
                learned impressions are not unlearned.

        Returns:
            What was learned, and the checkpoint.
        """
        until = max(until, self.position.until)
        replayed = self._rewind(log)
        start, stop = log.before(self.position.until), log.before(until)
        skipped = self._update(log, start, stop)
        before, requests = self.position, log.requests(start, stop)
        rewarded = log.rewarded(start, stop)
        self.position = LogPosition(
            until,
            log.digest(stop),
            before.impressions + stop - start,
            before.requests + requests,
            before.rewarded + rewarded,
        )
        state = self._states.save(self.model, self.position) if stop > start or replayed else None
        return LearningResult(requests, stop - start, rewarded, skipped, replayed, self.position, state)

    def matches(self, log: LoggedFeedback) -> bool:
        """Return whether the log, as far back as it reaches, equals what was learned."""
        return _matches(log, self.position)

    def tail(self, seconds: int) -> LogPosition:
        """Return the position to read the log from, if no record is later than by `seconds`."""
        return self._states.older(self.position.until - seconds) or self.start

    def _update(self, log: LoggedFeedback, start: int, stop: int) -> int:
        skipped = 0
        for feedback in log.batches(start, stop, self._user_ids, self._item_ids):
            try:
                update(self.model, feedback)
            except PluginError as error:
                if error.__cause__ is not None:  # a defect of the model, not a rejection
                    raise
                skipped += len(feedback)
        return skipped

    def _rewind(self, log: LoggedFeedback) -> bool:
        """Return to the newest checkpoint whose log is unchanged; False if that is the present state."""
        if self.matches(log):
            return False
        fitting = (state for state in self._states.loadable() if _matches(log, state.position))
        fresh = self._fresh(load_version(self._version.folder).model)
        self.model, self.position = next(fitting, fresh)
        self._states.drop_after(self.position)
        return True

    def _fresh(self, model: Recommender[Any]) -> Checkpoint:
        """Return the version's state after its training."""
        return Checkpoint(model, self.start)


def _matches(log: LoggedFeedback, position: LogPosition) -> bool:
    return log.digest(log.before(position.until)) == position.digest
