"""Workers over engines that a test made, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast
from unittest.mock import Mock

from tastemaker.event_log.spool import Spool
from tastemaker.privacy.pseudonyms import Pseudonyms
from tastemaker.serving.inference.batcher import Batcher
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.runtime.answer_log import log_answers
from tastemaker.serving.runtime.health import Health
from tastemaker.serving.runtime.router import Router, SingleRouter
from tastemaker.serving.runtime.served_engine import ServedEngine
from tastemaker.serving.runtime.worker import Worker


def open_engine(
    model: str,
    predictor: Predictor | None,
    spool: Spool,
    metrics: Any,
    *,
    static_ids: Sequence[str] = (),
    recent: RecentFeedback | None = None,
) -> ServedEngine:
    """An engine that nothing replaces; `metrics` count for it."""
    log = partial(log_answers, spool, metrics)
    return ServedEngine(Batcher(model, predictor, log, static_ids=static_ids, recent=recent))


def open_worker(
    model: str,
    predictor: Any,
    spool: Spool,
    metrics: Any = None,
    *,
    pseudonyms: Pseudonyms | None = None,
    static_ids: Sequence[str] = (),
    recent: RecentFeedback | None = None,
) -> Worker:
    """A worker with one engine; `metrics` count for both."""
    counted = metrics or Mock()
    engine = open_engine(model, predictor, spool, counted, static_ids=static_ids, recent=recent)
    return over(SingleRouter(engine), spool, counted, pseudonyms=pseudonyms, recent=recent)


def over(
    router: Router,
    spool: Spool,
    metrics: Any,
    *,
    pseudonyms: Pseudonyms | None = None,
    recent: RecentFeedback | None = None,
) -> Worker:
    """A worker over a router, whose gauges are measured on demand."""
    health = Health(metrics, router.engines, {"log": lambda: spool.trouble}, poll_seconds=None)
    return Worker(router, spool, cast(Any, metrics), health, pseudonyms=pseudonyms, recent=recent)
