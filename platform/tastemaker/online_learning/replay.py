"""What a version learns from: impressions whose reward is final, in an order that every replica agrees on.

An impression is learned when it is `feedback_delay` seconds old, with what was told of it by then (by our
clock). Not sooner: clicks are told, their absence is not, so that whoever learned each click at once would
believe that nearly all who were asked lately had clicked. What comes later waits for the next training. So
what is learned of an impression never changes, however often, by whom and in which order it is read.

The order is that of time, request and position. All that was shown within one second is learned at once: also
the batches are the same for every replica, and so is the rounding.
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
from tastemaker.plugins.arrays import Feedback, Float32
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.ids import IdIndex

_LEARNED = ("occurred_at", "request_id", "position", "user_id", "item_id", "reward", "propensity", "context")


class LoggedFeedback:
    """Impressions, oldest first."""

    def __init__(self, impressions: pa.Table, after: LogPosition) -> None:
        """`impressions` are rows of `attribution.ATTRIBUTED`, in its order: all those since a position."""
        self._rows = impressions.combine_chunks()
        self._after = after
        self.seconds = self._rows["occurred_at"].cast(pa.int64()).to_numpy() // 1_000_000
        """int64[n]: when each was shown, seconds since 1970."""

    def __len__(self) -> int:
        return len(self._rows)

    def before(self, moment: int) -> int:
        """How many of them were shown before a moment (seconds since 1970)."""
        return int(np.searchsorted(self.seconds, moment))

    def digest(self, n: int) -> str:
        """Of the first n and of all before them: equal, but for a chance of 2^-64, if and only if they are.

        The sum of the rows' digests, in two halves, so that what follows a snapshot can be added to its own.
        """
        halves = np.array([int(self._after.digest[:16], 16), int(self._after.digest[16:], 16)], np.uint64)
        if n:
            halves += self._digests[n - 1]
        return "".join(f"{int(half):016x}" for half in halves)

    def requests(self, start: int, stop: int) -> int:
        """How many requests some of them belong to."""
        return int(pc.count_distinct(self._rows["request_id"][start:stop]).as_py())

    def rewarded(self, start: int, stop: int) -> int:
        """How many of them earned something."""
        return int(np.count_nonzero(self._rows["reward"].to_numpy()[start:stop]))

    def taught(self, start: int, stop: int, user_ids: IdIndex, item_ids: IdIndex) -> Iterator[Feedback]:
        """Some of them as a model learns them: a second at a time, contexts of one width together."""
        if start == stop:
            return
        rows = self._rows.slice(start, stop - start)
        feedback = replace(as_feedback(rows, user_ids, item_ids), context=None)
        contexts = _contexts(rows["context"])
        widths = np.array([-1 if each is None else len(each) for each in contexts])
        turns = np.flatnonzero(np.diff(feedback.times) | np.diff(widths)) + 1
        for first, last in zip([0, *turns], [*turns, len(rows)], strict=True):
            part = feedback[first:last]
            told = [each for each in contexts[first:last] if each is not None]
            yield replace(part, context=np.stack(told)) if told else part

    @cached_property
    def _digests(self) -> NDArray[np.uint64]:
        """uint64[n, 2]: the sums of the rows' digests up to each, modulo 2^64."""
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
    """What `versions` showed after a position, with what it earned within `feedback_delay` seconds.

    Those that are younger than `feedback_delay` are among them: their rewards are not final.
    """
    shown = impressions(lake, problem, feedback_delay=feedback_delay, since=after.until, undrained=undrained)
    ours = pc.is_in(shown["version"], pa.array(list(versions), pa.string()))
    return LoggedFeedback(shown.filter(ours), after)


def _contexts(texts: pa.ChunkedArray) -> list[Float32 | None]:
    """float32[d] of each row; None where the caller told no numbers."""
    encoded = texts.combine_chunks().dictionary_encode()
    told = [json.loads(text) for text in encoded.dictionary.to_pylist()]
    known = [np.array(each, np.float32) if isinstance(each, list) else None for each in told]
    return [None if place is None else known[place] for place in encoded.indices.to_pylist()]
