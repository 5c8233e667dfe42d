"""When the model is asked: by one thread, for all who wait, and never for longer than its deadline.

The event loop puts requests into a queue. The model's thread takes all that wait there, asks once for them
together, and hands the answers back together: under load the batches grow, alone a request waits for nobody.
Where requests come densely, batches begin PACE_SECONDS apart at least, so that they grow before the processor
is full.

The loop keeps the time. A request that is late is answered without the model. A thread that does not come
back is abandoned and replaced; when a few of them hang, or in a row, the model rests (`circuit_breaker`). A
queue that is full, or a model that rests, costs a request its personal list, never its answer.
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
from tastemaker.serving.inference.fallback import (
    MODEL_ERROR,
    MODEL_OVERLOADED,
    MODEL_RESTING,
    MODEL_TIMEOUT,
    NO_MODEL,
)
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
"""Threads that may hang at once: each holds its memory, and its part of the processor if it is busy."""
STATIC_ITEMS = 100
"""How many popular items are kept at hand for when nothing else answers."""
PACE_SECONDS = 0.003
"""From a batch's begin to the next one's where requests come densely: asking for eight costs less than twice
the processor time of asking for one, and that time is what requests wait for."""
_SHARE = 0.25
"""Of the deadline that a batch may take, as far as that can be foreseen."""

logger = logging.getLogger("tastemaker.serving")


class Limits(NamedTuple):
    """How long and how many."""

    seconds: float = 0.5
    """The model's deadline, from the request's arrival."""
    waiting: int = 1_000
    """Requests that may wait for the model."""


class PendingRequest:
    """A request inside the engine."""

    __slots__ = ("ask", "future", "since", "taken")

    def __init__(self, ask: InferenceRequest, future: asyncio.Future[InferenceResult], since: float) -> None:
        self.ask, self.future, self.since = ask, future, since
        self.taken = False
        """Whether the model was asked."""


Settle = Callable[[Sequence[tuple[PendingRequest, InferenceResult]], float], None]
"""Told of answers as they are given, with the moment (time.monotonic): to count and log them."""


class Batcher:
    """The requests of one process, to one model at a time. All methods are for the event loop's thread, but
    `swap`.
    """

    def __init__(
        self,
        model: str,
        predictor: Predictor | None,
        settle: Settle,
        limits: Limits | None = None,
        static_ids: Sequence[str] = (),
        recent: RecentFeedback | None = None,
    ) -> None:
        """`predictor` is None where no version could be loaded yet: then the static list answers."""
        self._recent = recent
        self.model = model
        self.predictor = predictor
        self._swapping = threading.Lock()
        self._static_ids = static_ids
        self._last_resort = self._made_last_resort()
        self.limits = limits or Limits()
        self.breaker = CircuitBreaker()
        self._settle = settle
        self.queue: SimpleQueue[PendingRequest | None] = SimpleQueue()
        self._pending: deque[PendingRequest] = deque()
        """By arrival; the answered ones leave when they come to the front."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_loop: asyncio.AbstractEventLoop | None = None
        self._hung: list[_ModelThread] = []
        self._rests = False
        """Whether the model was found to hang, and has not answered since."""
        self._line: _ModelThread | None = _ModelThread(self)

    @property
    def hung(self) -> int:
        """Threads that were abandoned and have not come back yet."""
        return sum(line.thread.is_alive() for line in self._hung)

    @property
    def trouble(self) -> str | None:
        """In words, why the model is not asked or fails; None while all is well."""
        if self.predictor is None:
            return "no version is loaded"
        if self._rests:
            return "the model hangs and is left alone for a while; lists are answered without it"
        thread = None if self._line is None else self._line.thread.trouble
        return thread or self.predictor.trouble

    def swap(self, predictor: Predictor, *, instead_of: Predictor | None = None) -> None:
        """Ask another version from the next batch on; the batch that runs is finished by the old one.

        If `instead_of` is not the one that is asked now, that is left as it is. That an old version hung does
        not count against a new one.
        """
        with self._swapping:
            old = self.predictor
            if instead_of is not None and instead_of is not old:
                return
            if old is None or old.version != predictor.version:
                self.breaker, self._hung = CircuitBreaker(), []
            self.model, self.predictor = predictor.model, predictor
            self._last_resort = self._made_last_resort()

    def close(self) -> None:
        """Let the thread end; requests that still wait are answered by their deadline."""
        self.queue.put(None)
        if self._line is not None:
            self._line.thread.join(self.limits.seconds)

    def submit(self, ask: InferenceRequest) -> asyncio.Future[InferenceResult]:
        """The answer, at the deadline at the latest."""
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        waiting = PendingRequest(ask, loop.create_future(), now)
        if (reason := self._turned_away(now)) is not None:
            self._give_up([(waiting, reason)])
            return waiting.future
        self._pending.append(waiting)
        self.queue.put(waiting)
        if self._timer is None or self._timer_loop is not loop:
            self._watch(loop, now + self.limits.seconds)
        return waiting.future

    def _turned_away(self, now: float) -> str | None:
        """Why the model is not asked at all, or None."""
        if self.predictor is None:
            return NO_MODEL
        if self.queue.qsize() >= self.limits.waiting:
            return MODEL_OVERLOADED
        if self._line is None or not self._line.thread.is_alive():
            self._replace()
        return None if self._line is not None and self.breaker.admits(now) else MODEL_RESTING

    def _watch(self, loop: asyncio.AbstractEventLoop, moment: float) -> None:
        self._timer_loop = loop
        self._timer = loop.call_later(max(0.0, moment - time.monotonic()), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer those who are late, and abandon a thread that hangs."""
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
        """The thread hangs: interrupt it where Python can, and put another in its place."""
        line = self._line
        if line is None:
            return
        if not self._rests:
            logger.error(
                "model %s did not answer within %g s; its thread is replaced", self.model, self.limits.seconds
            )
        line.abandon()
        self._hung.append(line)
        self.breaker.bad(now)
        self._replace()
        if not self._rests and (self._line is None or not self.breaker.closed):
            self._rests = True
            logger.error("model %s hangs again and again; it is left alone for a while", self.model)

    def _replace(self) -> None:
        """A new thread, unless too many hang already."""
        self._hung = [line for line in self._hung if line.thread.is_alive()]
        self._line = _ModelThread(self) if len(self._hung) < MAX_HUNG else None

    def _give_up(self, late: Sequence[tuple[PendingRequest, str]]) -> None:
        """Answer without the model."""
        if late:
            self._deliver([(waiting, self._fall_back(waiting.ask, why)) for waiting, why in late])

    def _fall_back(self, ask: InferenceRequest, reason: str) -> InferenceResult:
        """By look-up, else from the list that needs none."""
        predictor = self.predictor
        if predictor is not None:
            try:
                return predictor.fall_back(ask, reason)
            except Exception:  # a defect, or files that can no longer be read: there is always a list
                logger.exception("%s %s can't answer without its model", self.model, predictor.version)
        version = "none" if predictor is None else predictor.version
        return self._last_resort.answer(ask, version, reason, self._hidden(ask.request.user_id))

    def _hidden(self, user_id: str) -> set[str]:
        """What the user lately had or disliked of the items that need no version."""
        ids, predictor = self._last_resort.item_ids, self.predictor
        if predictor is not None:
            return predictor.pipeline.hidden(user_id, ids)
        return set() if self._recent is None else self._recent.had(user_id, ids)

    def _made_last_resort(self) -> StaticFallback:
        """The settings' items, or what was popular when the version was loaded."""
        ids = self._static_ids
        if not ids and self.predictor is not None:
            ids = self.predictor.popular_ids(STATIC_ITEMS)
        return StaticFallback(self.model, ids)

    def deliver(self, batch: Sequence[PendingRequest], served: Sequence[InferenceResult] | None) -> None:
        """The thread's answers; None if the asking itself failed."""
        self.breaker.good()
        if self._rests:
            self._rests = False
            logger.info("model %s answers again", self.model)
        waiting = [each for each in batch if not each.future.done()]
        if served is None:
            self._give_up([(each, MODEL_ERROR) for each in waiting])
        else:
            pairs = zip(batch, served, strict=True)
            self._deliver([(each, answer) for each, answer in pairs if not each.future.done()])

    def _deliver(self, answers: Sequence[tuple[PendingRequest, InferenceResult]]) -> None:
        for waiting, served in answers:
            waiting.future.set_result(served)
        try:
            self._settle(answers, time.monotonic())
        except Exception:  # such as a disk that is full: what waits must still be looked after
            logger.exception("answers of %s could not be counted or logged", self.model)


class _ModelThread:
    """A thread that asks the model."""

    def __init__(self, engine: Batcher) -> None:
        self.engine = engine
        self.busy_since: float | None = None
        """When the running batch was begun, time.monotonic."""
        self._abandoned = False
        self._row_seconds = 0.0
        """An average of what a row took lately."""
        self._begun = 0.0
        """When the last batch was begun, time.monotonic."""
        self._crowded = False
        """Whether it held several requests."""
        self.thread = SupervisedThread(self._run, name="model")
        self.thread.start()

    def abandon(self) -> None:
        """End as soon as the plugin comes back, or now where it runs Python."""
        self._abandoned = True
        if self.thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.thread.ident), ctypes.py_object(RequestAbandoned)
            )

    def _run(self) -> None:
        self.busy_since = None  # whoever waits for a batch that was not finished is answered at the deadline
        try:
            while not self._abandoned and (batch := self._next()):
                self._ask(batch)
                self.thread.succeeded()
        except RequestAbandoned:
            pass

    def _next(self) -> list[PendingRequest]:
        """All that wait, as far as a batch may hold them; nothing when the engine closes."""
        queue, batch = self.engine.queue, []
        most = self._most_rows()
        waiting = queue.get()
        if self._crowded or not queue.empty():
            time.sleep(max(0.0, self._begun + PACE_SECONDS - time.monotonic()))
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
            queue.put(None)  # for the next look
        self._crowded = len(batch) > 1
        return batch

    def _most_rows(self) -> int:
        foreseen = _SHARE * self.engine.limits.seconds / max(self._row_seconds, 1e-9)
        predictor = self.engine.predictor
        by_size = MAX_SCORES // max(1 if predictor is None else predictor.n_items, 1)
        return max(1, min(MAX_ROWS, by_size, int(foreseen)))

    def _ask(self, batch: list[PendingRequest]) -> None:
        self.busy_since = self._begun = start = time.monotonic()
        served = None
        try:
            if (predictor := self.engine.predictor) is not None:
                served = predictor.recommend([waiting.ask for waiting in batch])
        except Exception:  # a defect of ours, for the predictor catches the plugin's
            logger.exception("asking %s failed", self.engine.model)
        self.busy_since = None
        self._row_seconds += 0.2 * ((time.monotonic() - start) / len(batch) - self._row_seconds)
        if not self._abandoned:
            try:
                loop = batch[0].future.get_loop()
                loop.call_soon_threadsafe(self.engine.deliver, batch, served)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits
                return
