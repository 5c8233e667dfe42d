"""What one serving process answers with: the model, the log and the counters behind every endpoint."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec

from tastemaker.api.schemas import (
    MAX_K,
    Answer,
    Explanation,
    FeedbackEvent,
    ItemUpsert,
    RankRequest,
    Ready,
    Receipt,
    Refusal,
    Request,
    SessionRequest,
    SimilarAnswer,
    SimilarItem,
    UserUpsert,
    WantedVersion,
)
from tastemaker.event_log.records import Kind, Record
from tastemaker.event_log.spool import Spool
from tastemaker.privacy.pseudonyms import Message, Pseudonyms
from tastemaker.registry.deployment import Target
from tastemaker.serving.inference.batcher import Batcher, Limits, PendingRequest
from tastemaker.serving.inference.explain import Explainer
from tastemaker.serving.inference.predictor import (
    InferenceRequest,
    InferenceResult,
    Predictor,
    new_request_id,
)
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.runtime.canonical_ids import with_canonical_ids
from tastemaker.serving.runtime.hot_swap import VersionWatcher
from tastemaker.serving.runtime.metrics import Metrics, Reason
from tastemaker.serving.runtime.online_updates import ModelRefresher
from tastemaker.serving.writes.feedback import append_durably, feedback_records
from tastemaker.serving.writes.upserts import Changes, append_upserts, item_records, user_records
from tastemaker.snapshot.canonical_ids import IdForm, canonical
from tastemaker.util.poller import Poller

NO_LOG = "the log is not open yet"
NO_MODEL = "the model is not loaded yet"

Part = TypeVar("Part")


class Worker:
    """What one process serves with. `open` fills it, once, before the first request."""

    def __init__(self) -> None:
        self.engine: Batcher | None = None
        self.spool: Spool | None = None
        self.metrics: Metrics | None = None
        self.pseudonyms: Pseudonyms | None = None
        self._ids: IdForm = "canonical"
        self._explainer = Explainer()
        self._recent: RecentFeedback | None = None
        self.watch: VersionWatcher | None = None
        """Follows the deployment, where there is one to follow."""
        self.pinned = False
        """Whether the service serves one version that no deployment replaces."""
        self.learned: ModelRefresher | None = None
        """Follows what a learner makes of the model, where it learns online."""
        self.gauges: Poller | None = None
        """Keeps the numbers current that no request counts."""
        self.parts: dict[Reason, Callable[[], str | None]] = {}
        """What may not work though lists are answered: says what is wrong, in words, or None."""

    def open(
        self,
        model: str,
        predictor: Predictor | None,
        spool: Spool,
        metrics: Metrics,
        *,
        limits: Limits | None = None,
        static_ids: Sequence[str] = (),
        pseudonyms: Pseudonyms | None = None,
        recent: RecentFeedback | None = None,
        ids: IdForm = "canonical",
    ) -> Batcher:
        """Be ready. Without a predictor, the static list answers until a version can be loaded.

        With `pseudonyms`, nothing behind these methods learns a user's id. Of feedback, `recent` hears. Ids
        of requests take the form `ids`, which is that of the tables.
        """
        self._ids = ids
        self._recent = recent
        self.spool, self.metrics, self.pseudonyms = spool, metrics, pseudonyms
        engine = self.engine = Batcher(model, predictor, self._settle, limits, static_ids, recent)
        self.parts |= {"log": lambda: spool.trouble, "model": lambda: engine.trouble}
        return engine

    def close(self) -> None:
        """Be no longer ready, with every record on disk."""
        for follower in (self.watch, self.learned, self.gauges):
            if follower is not None:
                follower.close()
        engine, spool = self.engine, self.spool
        self.engine = self.spool = None
        if engine is not None:
            engine.close()
        if self._recent is not None:
            self._recent.close()
        if spool is not None:
            spool.close()
            if self.metrics is not None:
                self.metrics.count_records()

    def ready(self) -> Ready:
        """The version that answers, and what does not work. Raises Refusal (503) while there is none."""
        predictor = _there(self._predictor, NO_MODEL)
        target = None if self.watch is None else self.watch.wanted
        return Ready(
            predictor.model,
            predictor.version,
            [f"{reason}: {words}" for reason, words in self.degraded().items()],
            wanted=msgspec.UNSET if target is None else WantedVersion(target.model, target.version),
            pinned=self.pinned,
        )

    def degraded(self) -> dict[Reason, str]:
        """What does not work though lists are answered, in words. Each part logs when it begins and ends."""
        found = {reason: trouble() for reason, trouble in self.parts.items()}
        return {reason: words for reason, words in found.items() if words is not None}

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """One HTTP request was answered or refused; `endpoint` is a path's template or UNKNOWN."""
        if self.metrics is not None:
            self.metrics.requested(endpoint, status, seconds)

    def measure(self) -> None:
        """Bring up to date what is counted by looking, not by request."""
        if self.metrics is None:
            return
        self.metrics.count_records()
        predictor, wanted = self._predictor, None if self.watch is None else self.watch.wanted
        served = None if predictor is None else Target(predictor.model, predictor.version)
        self.metrics.is_degraded(self.degraded(), differs=wanted is not None and wanted != served)

    def scraped(self) -> bytes:
        """What Prometheus reads. Raises Refusal (503) before the process is ready."""
        metrics = _there(self.metrics, NO_MODEL)
        self.measure()
        return metrics.page()

    async def recommend(self, request: Request, request_id: str | None = None) -> Answer:
        """Answer, count and log. Raises Refusal (503) before the process is ready.

        `request_id`, 32 hexadecimal digits, is the caller's own; a new one is made without it.
        """
        return (await self._submit(request, request_id)).answer

    async def recommend_batch(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers in the requests' order, each counted and logged as a request of its own."""
        served = await asyncio.gather(*(self._submit(request) for request in requests))
        return [each.answer for each in served]

    async def session(self, request: SessionRequest, request_id: str | None = None) -> Answer:
        """Answer a visitor of whom nothing is known but the items just looked at.

        In the log they are a user of their own, whom no known user's id can name: `session:...`.
        """
        request_id = request_id or new_request_id()
        visitor = f"session:{request.session_id or request_id}"
        asked = Request(visitor, request.k, request.context, request.exclude)
        items = [canonical(each, self._ids) for each in request.items]
        return (await self._submit(asked, request_id, "session", items)).answer

    async def rank(self, request: RankRequest, request_id: str | None = None) -> Answer:
        """The caller's own items in the best order for a user."""
        k = request.k or min(len(request.candidates), MAX_K)
        asked = Request(request.user_id, k, request.context, candidates=request.candidates)
        return (await self._submit(asked, request_id, "rank")).answer

    async def feedback(self, events: list[FeedbackEvent]) -> Receipt:
        """Log what people did; returns when it is durable. Raises Refusal while there is no room for it.

        From then on, no worker of this machine shows what it rules out.
        """
        spool = _there(self.spool, NO_LOG)
        receipt = await append_durably(spool, feedback_records(self._hidden(events), time.time()))
        if self._recent is not None:
            self._recent.announce()
        return receipt

    def similar(self, item_id: str, k: int) -> SimilarAnswer:
        """The items most like one. Raises Refusal: 404 if nobody knows it, 503 while there is no model."""
        predictor = _there(self._predictor, NO_MODEL)
        found = predictor.pipeline.similar(canonical(item_id, self._ids), k)
        if found is None:
            detail = f"there is no item {item_id!r}"
            raise Refusal(HTTPStatus.NOT_FOUND, detail, field="item_id", value=item_id)
        items = [SimilarItem(*each) for each in found]
        return SimilarAnswer(predictor.model, predictor.version, item_id, items)

    async def explain(self, request_id: str) -> Explanation:
        """Why an answer was what it was. Raises Refusal: 404 if it is not in the log."""
        predictor = self._predictor
        served = None if predictor is None else predictor.pipeline.folder
        return await asyncio.to_thread(self._explainer.explain, request_id, served)

    async def upsert_items(self, items: list[ItemUpsert]) -> Receipt:
        """Know items anew from now on; returns when that is durable. Raises Refusal."""
        return await self._change(item_records(self._hidden(items), time.time()))

    async def upsert_users(self, users: list[UserUpsert]) -> Receipt:
        """Know users anew from now on; returns when that is durable. Raises Refusal."""
        return await self._change(user_records(self._hidden(users), time.time()))

    async def _change(self, records: Changes) -> Receipt:
        predictor = self._predictor
        reader = None if predictor is None else predictor.pipeline.overlay
        return await append_upserts(_there(self.spool, NO_LOG), records, reader)

    @property
    def _predictor(self) -> Predictor | None:
        return None if self.engine is None else self.engine.predictor

    def _hidden(self, messages: list[Message]) -> list[Message]:
        """With ids in their canonical form, and users behind pseudonyms if they are to be."""
        known = [with_canonical_ids(message, self._ids) for message in messages]
        return known if self.pseudonyms is None else list(map(self.pseudonyms.hide, known))

    def _submit(
        self,
        request: Request,
        request_id: str | None = None,
        kind: Kind = "recommend",
        session: list[str] | None = None,
    ) -> asyncio.Future[InferenceResult]:
        engine = _there(self.engine, NO_MODEL)
        (request,) = self._hidden([request])
        return engine.submit(
            InferenceRequest(request, request_id or new_request_id(), time.time(), kind, session)
        )

    def _settle(self, answers: Sequence[tuple[PendingRequest, InferenceResult]], moment: float) -> None:
        """Count and log what was answered."""
        spool, metrics = self.spool, self.metrics
        if spool is None or metrics is None:
            return
        said = [served.answer for _, served in answers]
        metrics.answered(Counter((one.model, one.stage, one.fallback) for one in said))
        for waiting, served in answers:
            spool.offer(_record(waiting.ask, served, moment - waiting.since))


def _there(part: Part | None, otherwise: str) -> Part:
    """What `open` gave. Raises Refusal (503) before that, and after `close`."""
    if part is None:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, otherwise)
    return part


def _record(ask: InferenceRequest, served: InferenceResult, seconds: float) -> Record:
    request, answer = ask.request, served.answer
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
        features=served.features,
        fallback=answer.fallback,
        stage=answer.stage,
        kind=ask.kind,
        session=None if ask.session is None else list(ask.session),
        diversity=served.diversity,
    )
