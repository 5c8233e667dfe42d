"""Replay of the log: impressions whose reward is final, in the same order for every replica.

An impression is learned when it is `feedback_delay` seconds old, with the feedback that had arrived by then
(by our clock). Earlier learning would be biased: a click is reported, the absence of a click is not, so that
nearly all recent impressions would seem to be clicked. Later feedback is used at the next full training. The
row of an impression is therefore the same whenever it is read.

The order is that of time, request and position. Impressions of the same second are one batch: every replica
has the same batches, and so the same rounding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tastemaker.data.lake import Lake
from tastemaker.event_log.attribution import as_feedback, impressions
from tastemaker.event_log.spool_file import Pending
from tastemaker.online_learning.checkpoints import LogPosition
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.training_data import Feedback
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.ids import IdIndex

_LEARNED = ("occurred_at", "request_id", "position", "user_id", "item_id", "reward", "propensity", "context")


class LoggedFeedback:
    """Logged impressions with their rewards, oldest first."""

    def __init__(self, impressions: pa.Table, after: LogPosition) -> None:
        """Take the impressions after a position of the log.

        Args:
            impressions: Rows of `attribution.ATTRIBUTED`, in its order.
            after: The position, whose digest those of the impressions are added to.
        """
        self._rows = impressions.combine_chunks()
        self._after = after
        self.seconds = self._rows["occurred_at"].cast(pa.int64()).to_numpy() // 1_000_000
        """int64[n]: time of each impression, seconds since 1970."""

    def __len__(self) -> int:
        return len(self._rows)

    def before(self, cutoff: int) -> int:
        """Return the number of impressions before a cutoff (seconds since 1970)."""
        return int(np.searchsorted(self.seconds, cutoff))

    def digest(self, n: int) -> str:
        """Return the digest of the first n impressions and of all before the position.

        Digests are equal if and only if the impressions are, but for a probability of 2^-64. It is the sum of
        the rows' digests, in two halves, so that the digest of later rows can be added.
        """
        halves = np.array([int(self._after.digest[:16], 16), int(self._after.digest[16:], 16)], np.uint64)
        if n:
            halves += self._digests[n - 1]
        return "".join(f"{int(half):016x}" for half in halves)

    def requests(self, start: int, stop: int) -> int:
        """Return the number of requests of some impressions, each counted once.

        Args:
            start: First impression, from 0.
            stop: End of the impressions, excluded.
        """
        return int(pc.count_distinct(self._rows["request_id"][start:stop]).as_py())

    def rewarded(self, start: int, stop: int) -> int:
        """Return the number of impressions, among some, whose reward is not 0.

        Args:
            start: First impression, from 0.
            stop: End of the impressions, excluded.
        """
        return int(np.count_nonzero(self._rows["reward"].to_numpy()[start:stop]))

    def batches(self, start: int, stop: int, user_ids: IdIndex, item_ids: IdIndex) -> Iterator[Feedback]:
        """Yield the impressions from `start` to `stop` as model updates.

        A batch holds impressions of the same second whose contexts have equal width.

        Args:
            start: First impression.
            stop: End of the impressions, excluded.
            user_ids: Numbers of the users.
            item_ids: Numbers of the items.
        """
        if start == stop:
            return
        rows = self._rows.slice(start, stop - start)
        feedback = replace(as_feedback(rows, user_ids, item_ids), context=None)
        contexts = _contexts(rows["context"])
        widths = np.array([-1 if each is None else len(each) for each in contexts])
        turns = np.flatnonzero(np.diff(feedback.times) | np.diff(widths)) + 1
        for first, last in zip([0, *turns], [*turns, len(rows)], strict=True):
            part = feedback[first:last]
            given = [each for each in contexts[first:last] if each is not None]
            yield replace(part, context=np.stack(given)) if given else part

    @cached_property
    def _digests(self) -> NDArray[np.uint64]:
        """uint64[n, 2]: cumulative sums of the rows' digests, modulo 2^64."""
        columns = [pc.cast(self._rows[name], pa.string()) for name in _LEARNED]
        rows = pc.binary_join_element_wise(*columns, "\x1f", null_handling="replace", null_replacement="\x1e")
        digests = b"".join(
            hashlib.blake2b(row, digest_size=16).digest() for row in pc.cast(rows, pa.binary()).to_pylist()
        )
        return np.cumsum(np.frombuffer(digests, np.uint64).reshape(-1, 2), axis=0)


def read(
    lake: Lake,
    problem: ProblemSpec,
    *,
    versions: Collection[str],
    after: LogPosition,
    feedback_delay: float,
    undrained: Pending | None = None,
) -> LoggedFeedback:
    """Read the impressions of some versions after a position of the log.

    Impressions younger than `feedback_delay` are included; their rewards are not final.

    Args:
        lake: Where drained requests and feedback are.
        problem: Gives each event type its reward and window.
        versions: Ids of the versions whose impressions are read.
        after: The position that they come after.
        feedback_delay: Seconds from the impression to the arrival of its feedback, at most.
        undrained: Records that are still in a spool.

    Returns:
        The impressions with their rewards.
    """
    shown = impressions(lake, problem, feedback_delay=feedback_delay, since=after.until, undrained=undrained)
    ours = pc.is_in(shown["version"], pa.array(list(versions), pa.string()))
    return LoggedFeedback(shown.filter(ours), after)


def _contexts(texts: pa.ChunkedArray) -> list[Float32 | None]:
    """Return each row's context as float32[d]; None where it is not a list of numbers."""
    encoded = texts.combine_chunks().dictionary_encode()
    decoded = [json.loads(text) for text in encoded.dictionary.to_pylist()]
    known = [np.array(each, np.float32) if isinstance(each, list) else None for each in decoded]
    return [None if place is None else known[place] for place in encoded.indices.to_pylist()]
