"""What is counted and logged of each answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tastemaker.event_log.records import Kind, Record, ShadowRecord, Stage
from tastemaker.event_log.spool import Spool
from tastemaker.serving.inference.fallback_reasons import Source
from tastemaker.serving.inference.pending_request import PendingRequest
from tastemaker.serving.inference.predictor import InferenceRequest, InferenceResult
from tastemaker.serving.runtime.engine_metrics import EngineMetrics


def log_answers(
    spool: Spool,
    metrics: EngineMetrics,
    answers: Sequence[tuple[PendingRequest, InferenceResult]],
    now: float,
) -> None:
    """Count answers of one engine and offer them to the log; those that no user sees are counted apart.

    Args:
        spool: The log. An answer that it has no room for is counted as lost.
        metrics: The engine's.
        answers: The answers that were just given.
        now: `time.monotonic()`.
    """
    shown = [each for each in answers if each[0].ask.shadow_of is None]
    if shown:
        _count(metrics, shown)
    if len(shown) < len(answers):
        metrics.shadowed([result.answer for pending, result in answers if pending.ask.shadow_of is not None])
    spool.offer(
        *(
            _entry(pending.ask, result, now - pending.since)
            for pending, result in answers
            if pending.ask.is_logged
        )
    )


def _entry(ask: InferenceRequest, result: InferenceResult, seconds: float) -> Record | ShadowRecord:
    record = record_of(ask, result, seconds)
    return record if ask.shadow_of is None else ShadowRecord(ask.shadow_of, record)


def _count(metrics: EngineMetrics, answers: Sequence[tuple[PendingRequest, InferenceResult]]) -> None:
    """Count the answers of a batch at once: a counter costs more than the sums of a batch."""
    lists: defaultdict[tuple[str, Stage, str | None], int] = defaultdict(int)
    shown: defaultdict[tuple[str, Source], int] = defaultdict(int)
    incomplete: defaultdict[tuple[str, Kind, bool], int] = defaultdict(int)
    for pending, result in answers:
        answer, ask = result.answer, pending.ask
        lists[answer.model, answer.stage, answer.fallback] += 1
        n = by_model = len(answer.items)
        if n < ask.request.k:
            incomplete[answer.model, ask.kind, n == 0] += 1
        for source, of_source in result.sources:
            shown[answer.model, source] += of_source
            by_model -= of_source
        shown[answer.model, "model"] += by_model
    metrics.answered(lists, shown, incomplete)


def record_of(ask: InferenceRequest, result: InferenceResult, seconds: float) -> Record:
    """Return what is logged of an answer.

    Args:
        ask: The request as the model received it.
        result: The answer, with what only the log needs.
        seconds: How long it took.
    """
    request, answer = ask.request, result.answer
    return Record(
        request_id=answer.request_id,
        occurred_at=ask.occurred_at,
        user_id=request.user_id,
        k=request.k,
        model=answer.model,
        version=answer.version,
        items=answer.items,
        latency_ms=seconds * 1_000,
        context=request.context,
        exclude=request.exclude,
        candidates=request.candidates,
        features=result.features,
        fallback=answer.fallback,
        stage=answer.stage,
        kind=ask.kind,
        session=None if ask.session is None else list(ask.session),
        diversity=result.diversity,
        assignment=ask.assignment,
    )
