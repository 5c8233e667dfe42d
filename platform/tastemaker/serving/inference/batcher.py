"""Dynamic batching: one thread calls the model for all waiting requests, within a deadline.

The event loop puts requests into a queue. The model's thread takes all that wait, calls the model once, and
returns the answers together: under load the batches grow, and a single request does not wait for others.
Where requests come densely, batches begin at least PACE_SECONDS apart, so that they grow before the processor
is full. A batch that has grown to ENOUGH_ROWS does not wait.

The loop keeps the time. A late request is answered without the model. A thread that hangs is abandoned and
replaced; when several hang, the circuit breaker opens (`circuit_breaker`). A full queue or an open circuit
costs a request its personal list, never its answer.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from tastemaker.serving.inference.circuit_breaker import CircuitBreaker
from tastemaker.serving.inference.fallback_reasons import (
    MODEL_ERROR,
    MODEL_OVERLOADED,
    MODEL_RESTING,
    MODEL_TIMEOUT,
    NO_MODEL,
)
from tastemaker.serving.inference.pending_request import PendingRequest
from tastemaker.serving.inference.predictor import (
    InferenceRequest,
    InferenceResult,
    Predictor,
    StaticFallback,
)
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.ranking.stages import RequestAbandoned
from tastemaker.util.supervised_thread import SupervisedThread

MAX_ROWS = 64
"""The most requests in a batch."""
MAX_SCORES = 1 << 22
"""The most rows x items in a batch: models hold that many floats."""
MAX_HUNG = 4
"""The most threads that may hang: each holds memory, and processor time if it is busy."""
STATIC_ITEMS = 100
"""Popular items that are kept for when nothing else answers."""
PACE_SECONDS = 0.003
"""Between the starts of two batches where requests come densely: a batch of eight costs less than twice the
processor time of a batch of one, and requests wait for that time."""
ENOUGH_ROWS = 24
"""Requests that make a batch without a pause: callers who all wait for their answers send no more meanwhile.
What comes until the model's thread has Python's lock is in the batch, too."""
_SHARE = 0.25
"""The share of the deadline that a batch is expected to take at most."""

logger = logging.getLogger("tastemaker.serving")


class Limits(NamedTuple):
    """The limits of an engine."""

    seconds: float = 0.5
    """The model's deadline, from the request's arrival."""
    waiting: int = 1_000
    """Requests that may wait for the model."""


OnComplete = Callable[[Sequence[tuple[PendingRequest, InferenceResult]], float], None]
"""Called with answers as they are given, and the time (`time.monotonic`), to count and log them."""


class Batcher:
    """Queues requests for one version and answers them.

    All methods but `swap` are for the event loop's thread.
    """

    def __init__(
        self,
        model: str,
        predictor: Predictor | None,
        on_complete: OnComplete,
        limits: Limits | None = None,
        static_ids: Sequence[str] = (),
        recent: RecentFeedback | None = None,
        on_batch: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Start the model's thread.

        Args:
            model: The name of the model, for logs and static lists.
            predictor: Answers; None while no version is loaded: then the static list answers.
            on_complete: Called with the answers as they are given.
            limits: Deadline and queue length.
            static_ids: The static list; empty for the items that were popular when the version was loaded.
            recent: What users did since the training, for the static list.
            on_batch: Called with the seconds that the model took for a batch.
        """
        self._recent = recent
        self.model = model
        self.predictor = predictor
        self._swapping = threading.Lock()
        self._static_ids = static_ids
        self._static = self._static_fallback()
        self.limits = limits or Limits()
        self.breaker = CircuitBreaker()
        self._on_complete = on_complete
        self.on_batch = on_batch
        self.queue: SimpleQueue[PendingRequest | None] = SimpleQueue()
        self._pending: deque[PendingRequest] = deque()
        """By arrival; the answered ones leave when they come to the front."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_loop: asyncio.AbstractEventLoop | None = None
        self._hung: list[_ModelThread] = []
        self._open = False
        """Whether the model hung and has not answered since."""
        self._line: _ModelThread | None = _ModelThread(self)

    @property
    def trouble(self) -> str | None:
        """Why the model is not called or fails, in words; None while it works."""
        if self.predictor is None:
            return "no version is loaded"
        if self._open:
            return "the model hangs and is not called for a while; lists are answered without it"
        thread = None if self._line is None else self._line.thread.trouble
        return thread or self.predictor.trouble

    def swap(self, predictor: Predictor, *, instead_of: Predictor | None = None) -> None:
        """Serve another version from the next batch on; the old one finishes the running batch.

        Failures of an old version do not count against a new one.

        Args:
            predictor: Of the new version, or of a new state of the old one.
            instead_of: If given and no longer served, nothing changes.
        """
        with self._swapping:
            old = self.predictor
            if instead_of is not None and instead_of is not old:
                return
            if old is None or old.version != predictor.version:
                self.breaker, self._hung = CircuitBreaker(), []
            self.model, self.predictor = predictor.model, predictor
            self._static = self._static_fallback()

    def close(self) -> None:
        """Let the thread end. Requests that still wait are answered at their deadline."""
        self.queue.put(None)
        if self._line is not None:
            self._line.thread.join(self.limits.seconds)

    def submit(self, ask: InferenceRequest) -> asyncio.Future[InferenceResult]:
        """Return the answer, as a future that is done at the deadline at the latest."""
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        waiting = PendingRequest(ask, loop.create_future(), now)
        if (reason := self._refusal(now)) is not None:
            self._give_up([(waiting, reason)])
            return waiting.future
        self._pending.append(waiting)
        self.queue.put(waiting)
        if self._line is not None:
            self._line.notice(self.queue.qsize())
        if self._timer is None or self._timer_loop is not loop:
            self._watch(loop, now + self.limits.seconds)
        return waiting.future

    def _refusal(self, now: float) -> str | None:
        """Return why the model is not called; None if it is."""
        if self.predictor is None:
            return NO_MODEL
        if self.queue.qsize() >= self.limits.waiting:
            return MODEL_OVERLOADED
        if self._line is None or not self._line.thread.is_alive():
            self._replace()
        return None if self._line is not None and self.breaker.admits(now) else MODEL_RESTING

    def _watch(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        self._timer_loop = loop
        self._timer = loop.call_later(max(0.0, deadline - time.monotonic()), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer late requests, and abandon a thread that hangs."""
        self._timer = None
        now, seconds = time.monotonic(), self.limits.seconds
        late = []
        while self._pending and (self._pending[0].future.done() or self._pending[0].since + seconds <= now):
            waiting = self._pending.popleft()
            if not waiting.future.done():
                late.append((waiting, MODEL_TIMEOUT if waiting.taken else MODEL_OVERLOADED))
        self._give_up(late)
        busy = None if self._line is None else self._line.busy_since
        if busy is not None and busy + seconds <= now:
            self._abandon(now)
            busy = None
        ends = [
            since + seconds for since in (busy, self._pending[0].since if self._pending else None) if since
        ]
        if ends:
            self._watch(loop, min(ends))

    def _abandon(self, now: float) -> None:
        """Interrupt a thread that hangs, where Python can, and replace it."""
        line = self._line
        if line is None:
            return
        if not self._open:
            logger.error(
                "model %s did not answer within %g s; its thread is replaced", self.model, self.limits.seconds
            )
        line.abandon()
        self._hung.append(line)
        self.breaker.record_failure(now)
        self._replace()
        if not self._open and (self._line is None or not self.breaker.closed):
            self._open = True
            logger.error("model %s hangs repeatedly; it is not called for a while", self.model)

    def _replace(self) -> None:
        """Start a new thread, unless too many hang."""
        self._hung = [line for line in self._hung if line.thread.is_alive()]
        self._line = _ModelThread(self) if len(self._hung) < MAX_HUNG else None

    def _give_up(self, late: Sequence[tuple[PendingRequest, str]]) -> None:
        """Answer requests without the model."""
        if late:
            self._deliver([(waiting, self._fall_back(waiting.ask, why)) for waiting, why in late])

    def _fall_back(self, ask: InferenceRequest, reason: str) -> InferenceResult:
        """Return the answer by look-up, else from the static list."""
        predictor = self.predictor
        if predictor is not None:
            try:
                return predictor.fall_back(ask, reason)
            except Exception:  # a defect, or files that can no longer be read: the static list needs none
                logger.exception("%s %s can't answer without its model", self.model, predictor.version)
        version = "none" if predictor is None else predictor.version
        return self._static.answer(ask, version, reason, self._hidden(ask.request.user_id))

    def _hidden(self, user_id: str) -> set[str]:
        """Return the items of the static list that the user's recent feedback rules out."""
        ids, predictor = self._static.item_ids, self.predictor
        if predictor is not None:
            return predictor.pipeline.hidden(user_id, ids)
        return set() if self._recent is None else self._recent.had(user_id, ids)

    def _static_fallback(self) -> StaticFallback:
        """Return the settings' items, or those that were popular when the version was loaded."""
        ids = self._static_ids
        if not ids and self.predictor is not None:
            ids = self.predictor.popular_ids(STATIC_ITEMS)
        return StaticFallback(self.model, ids)

    def deliver(self, batch: Sequence[PendingRequest], served: Sequence[InferenceResult] | None) -> None:
        """Pass on the answers of the model's thread.

        Requests that were answered meanwhile, at their deadline, keep those answers.

        Args:
            batch: The requests that the thread took.
            served: Their answers, in the same order; None if the call of the predictor failed.
        """
        self.breaker.record_success()
        if self._open:
            self._open = False
            logger.info("model %s answers again", self.model)
        if served is None:
            self._give_up([(each, MODEL_ERROR) for each in batch if not each.future.done()])
        else:
            pairs = zip(batch, served, strict=True)
            self._deliver([(each, answer) for each, answer in pairs if not each.future.done()])

    def _deliver(self, answers: Sequence[tuple[PendingRequest, InferenceResult]]) -> None:
        for waiting, served in answers:
            waiting.future.set_result(served)
        while self._pending and self._pending[0].future.done():
            self._pending.popleft()  # now: the next requests then use memory that is in the processor's cache
        try:
            self._on_complete(answers, time.monotonic())
        except Exception:  # such as a full disk: other requests still wait
            logger.exception("answers of %s could not be counted or logged", self.model)


class _ModelThread:
    """A thread that calls the model."""

    def __init__(self, engine: Batcher) -> None:
        self.engine = engine
        self.busy_since: float | None = None
        """When the running batch began, `time.monotonic`; None between batches."""
        self._abandoned = False
        self._row_seconds = 0.0
        """A moving average of the seconds per row."""
        self._begun = 0.0
        """When the last batch began, `time.monotonic`."""
        self._crowded = False
        """Whether the last batch held several requests."""
        self._missing = 0
        """How many must wait, beside the one that was taken, for a batch to begin before its time."""
        self._enough = threading.Event()
        self.thread = SupervisedThread(self._run, name="model")
        self.thread.start()

    def abandon(self) -> None:
        """End when the plugin returns, or now where it runs Python."""
        self._abandoned = True
        if self.thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.thread.ident), ctypes.py_object(RequestAbandoned)
            )

    def notice(self, waiting: int) -> None:
        """Begin the next batch early if so many requests wait: called as each arrives."""
        if waiting == self._missing:
            self._enough.set()

    def _run(self) -> None:
        self.busy_since = None  # requests of an unfinished batch are answered at their deadline
        try:
            while not self._abandoned and (batch := self._next()):
                self._ask(batch)
                self.thread.succeeded()
        except RequestAbandoned:
            pass

    def _next(self) -> list[PendingRequest]:
        """Return the waiting requests, as many as a batch may hold; none when the engine closes."""
        queue, batch = self.engine.queue, []
        most = self._most_rows()
        waiting = queue.get()
        if waiting is not None and (self._crowded or not queue.empty()):
            self._gather(most)
        while waiting is not None:
            if not waiting.future.done():
                waiting.taken = True
                batch.append(waiting)
            if len(batch) >= most:
                break
            try:
                waiting = queue.get_nowait() if batch else queue.get()
            except Empty:
                break
        if waiting is None and batch:
            queue.put(None)  # ends the next call
        self._crowded = len(batch) > 1
        return batch

    def _gather(self, most: int) -> None:
        """Wait for enough requests beside the one that was taken, or as long as the pace says."""
        self._missing = min(ENOUGH_ROWS, most) - 1
        self._enough.clear()  # before the look at the queue: what arrives after it sets it
        if self.engine.queue.qsize() < self._missing:
            self._enough.wait(max(0.0, self._begun + PACE_SECONDS - time.monotonic()))

    def _most_rows(self) -> int:
        expected = _SHARE * self.engine.limits.seconds / max(self._row_seconds, 1e-9)
        predictor = self.engine.predictor
        by_size = MAX_SCORES // max(1 if predictor is None else predictor.n_items, 1)
        return max(1, min(MAX_ROWS, by_size, int(expected)))

    def _ask(self, batch: list[PendingRequest]) -> None:
        self.busy_since = self._begun = start = time.monotonic()
        served = None
        try:
            if (predictor := self.engine.predictor) is not None:
                served = predictor.recommend([waiting.ask for waiting in batch])
        except Exception:  # a defect of ours: the predictor catches the plugin's
            logger.exception("calling %s failed", self.engine.model)
        self.busy_since = None
        seconds = time.monotonic() - start
        self._row_seconds += 0.2 * (seconds / len(batch) - self._row_seconds)
        self.engine.on_batch(seconds)
        if not self._abandoned:
            try:
                loop = batch[0].future.get_loop()
                loop.call_soon_threadsafe(self.engine.deliver, batch, served)
            except RuntimeError:  # the loop was closed: no caller waits
                return
