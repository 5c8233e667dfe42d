"""What one serving process answers with: the model, the log and the counters behind every endpoint."""

from __future__ import annotations

import time
from http import HTTPStatus
from uuid import uuid4

from tastemaker.logs.records import Record
from tastemaker.logs.spool import Spool
from tastemaker.serving.intake import feedback_records, keep
from tastemaker.serving.messages import Answer, FeedbackEvent, Ready, Receipt, Refusal, Request
from tastemaker.serving.metrics import Metrics
from tastemaker.serving.predictor import Predictor, Served


class Worker:
    """What one process serves with. `open` fills it, once, before the first request."""

    def __init__(self) -> None:
        self.predictor: Predictor | None = None
        self.spool: Spool | None = None
        self.metrics: Metrics | None = None

    def open(self, predictor: Predictor, spool: Spool, metrics: Metrics) -> None:
        """Be ready."""
        self.predictor, self.spool, self.metrics = predictor, spool, metrics

    def close(self) -> None:
        """Be no longer ready, with every record on disk."""
        spool, self.predictor, self.spool = self.spool, None, None
        if spool is not None:
            spool.close()

    def ready(self) -> Ready:
        """The version that answers. Raises Refusal (503) while there is none."""
        if self.predictor is None:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the model is not loaded yet")
        return Ready(self.predictor.model, self.predictor.version)

    async def recommend(self, request: Request, request_id: str | None = None) -> Answer:
        """Answer, count and log. Raises Refusal (503) while there is no model.

        `request_id`, 32 hexadecimal digits, is the caller's own; a new one is made without it.
        """
        if self.predictor is None or self.spool is None or self.metrics is None:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the model is not loaded yet")
        start, occurred_at = time.perf_counter(), time.time()
        served = self.predictor.recommend(request, request_id or uuid4().hex, int(occurred_at))
        seconds = time.perf_counter() - start
        self.metrics.answered(seconds, served.answer.fallback)
        self.spool.offer(_record(request, served, occurred_at, seconds))
        return served.answer

    async def feedback(self, events: list[FeedbackEvent]) -> Receipt:
        """Log what people did; returns when it is durable. Raises Refusal while there is no room for it."""
        if self.spool is None:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the log is not open yet")
        return await keep(self.spool, feedback_records(events, time.time()))


def _record(request: Request, served: Served, occurred_at: float, seconds: float) -> Record:
    answer = served.answer
    return Record(
        request_id=answer.request_id,
        occurred_at=occurred_at,
        user_id=request.user_id,
        k=request.k,
        model=answer.model,
        version=answer.version,
        items=answer.items,
        latency_ms=seconds * 1_000,
        context=request.context,
        exclude=request.exclude,
        candidates=request.candidates,
        features=served.features,
        fallback=answer.fallback,
        stage=answer.stage,
    )
