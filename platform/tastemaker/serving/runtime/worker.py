"""What one serving process answers with: the engines, the log and the counters behind every endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from operator import attrgetter

import msgspec

from tastemaker.api.control import ControlHeader
from tastemaker.api.schemas import (
    MAX_K,
    Answer,
    EngineStatus,
    Explanation,
    ExposureReport,
    FeedbackEvent,
    HTTPError,
    ItemUpsert,
    RankRequest,
    Ready,
    Receipt,
    Request,
    SessionRequest,
    SimilarAnswer,
    SimilarItem,
    UserUpsert,
    WantedVersion,
)
from tastemaker.event_log.records import Kind
from tastemaker.event_log.spool import Spool, SpoolError
from tastemaker.privacy.pseudonyms import Message, Pseudonyms
from tastemaker.serving.inference.explain import Explainer
from tastemaker.serving.inference.predictor import (
    InferenceRequest,
    InferenceResult,
    Predictor,
    new_request_id,
)
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.runtime.health import Health
from tastemaker.serving.runtime.metrics import Metrics
from tastemaker.serving.runtime.router import Router
from tastemaker.serving.runtime.served_engine import ServedEngine
from tastemaker.serving.runtime.stored_ids import IdCheck, with_stored_ids
from tastemaker.serving.writes.exposures import exposure_records
from tastemaker.serving.writes.feedback import append_durably, feedback_records
from tastemaker.serving.writes.upserts import Changes, append_upserts, item_records, user_records
from tastemaker.snapshot.canonical_ids import MISSING_IDS, IdForm, canonical

NO_MODEL = "the model is not loaded yet"
_TYPE_OF: Callable[[FeedbackEvent], str] = attrgetter("event_type")


@dataclass(frozen=True, eq=False)
class Worker:
    """What one process answers with, complete: see `assembly` and `serving_process`."""

    router: Router
    spool: Spool
    metrics: Metrics
    health: Health
    pseudonyms: Pseudonyms | None = None
    """With them, no part behind the worker sees a user's id."""
    recent: RecentFeedback | None = None
    """Is notified of feedback."""
    ids: IdForm = "canonical"
    """The form that the ids of requests take: that of the tables."""
    id_check: IdCheck = field(default_factory=lambda: IdCheck(MISSING_IDS))
    """Refuses ids of feedback, exposures and changes."""
    explainer: Explainer = field(default_factory=Explainer)

    def close(self) -> None:
        """Stop answering. Returns when every record is on disk."""
        self.health.close()
        for engine in self.router.engines:
            engine.close()
        if self.recent is not None:
            self.recent.close()
        self.spool.close()
        self.metrics.count_rest()

    def ready(self) -> Ready:
        """Return which versions answer, and what does not work. Raises HTTPError (503) if none does."""
        loaded = [_status(one, one.predictor) for one in self.router.engines if one.predictor is not None]
        if not loaded:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, NO_MODEL)
        first = loaded[0]
        several = len(self.router.engines) > 1
        return Ready(
            first.model,
            first.version,
            [f"{reason}: {words}" for reason, words in self.health.degraded().items()],
            wanted=first.wanted,
            pinned=first.pinned,
            engines=loaded if several else msgspec.UNSET,
        )

    def scraped(self) -> bytes:
        """Return what Prometheus reads."""
        self.health.measure()
        return self.metrics.page()

    async def recommend(
        self, request: Request, request_id: str | None = None, control: ControlHeader | None = None
    ) -> Answer:
        """Answer, count and log a request.

        Args:
            request: The user, how many items, and what may be shown. Its ids may be in any form.
            request_id: The caller's own, 32 hexadecimal digits; without it, a new one is made.
            control: How a controller has it booked; None without a controller.

        Returns:
            The list, which says whether the model made it, and if not, why.
        """
        return (await self._submit(request, request_id, control=control)).answer

    async def recommend_batch(
        self, requests: Sequence[Request], control: ControlHeader | None = None
    ) -> list[Answer]:
        """Return answers in the requests' order, each counted and logged as a request of its own.

        Args:
            requests: The requests; each gets a new id.
            control: How a controller has them booked; None without a controller.
        """
        served = await asyncio.gather(*(self._submit(request, control=control) for request in requests))
        return [each.answer for each in served]

    async def session(
        self, request: SessionRequest, request_id: str | None = None, control: ControlHeader | None = None
    ) -> Answer:
        """Answer an anonymous session by the items just looked at.

        Args:
            request: The items, newest last, and how many are wanted.
            request_id: Of the request; None creates one.
            control: The assignment by a controller of experiments.

        Returns:
            The list, which says whether the model made it, and if not, why.
        """
        request_id = request_id or new_request_id()
        asked = session_as_request(request, request_id)
        items = [canonical(each, self.ids) for each in request.items]
        return (await self._submit(asked, request_id, "session", items, control)).answer

    async def rank(
        self, request: RankRequest, request_id: str | None = None, control: ControlHeader | None = None
    ) -> Answer:
        """Return the caller's own items in the best order for a user.

        Args:
            request: The user and the items.
            request_id: Of the request; None creates one.
            control: The assignment by a controller of experiments.
        """
        asked = rank_as_request(request)
        return (await self._submit(asked, request_id, "rank", control=control)).answer

    async def feedback(self, events: list[FeedbackEvent]) -> Receipt:
        """Log feedback; return when it is durable.

        From then on, no worker of this machine shows what it rules out.

        Raises:
            HTTPError: 400 if an id is missing or was rounded, 429 or 503 while there is no room for it.
        """
        self.id_check.require_sound(events, "events")
        try:
            receipt = await append_durably(self.spool, feedback_records(self.hidden(events), time.time()))
        except HTTPError:
            self.metrics.feedback(map(_TYPE_OF, events), "refused")
            raise
        self.metrics.feedback(map(_TYPE_OF, events), "accepted")
        if self.recent is not None:
            self.recent.announce()
        return receipt

    async def exposures(self, exposures: list[ExposureReport]) -> Receipt:
        """Log exposures; return when they are durable.

        Raises:
            HTTPError: 400 if an id is missing or was rounded, 429 or 503 while there is no room for them.
        """
        self.id_check.require_sound(exposures, "exposures")
        return await append_durably(self.spool, exposure_records(self.hidden(exposures), time.time()))

    def similar(self, item_id: str, k: int, user_id: str | None = None) -> SimilarAnswer:
        """Return the items most similar to one.

        Args:
            item_id: The item.
            k: The most items to return.
            user_id: The user who will see them; None for the first engine's answer.

        Raises:
            HTTPError: 404 for an unknown item, 503 while no version is loaded.
        """
        engine = self.router.engines[0]
        if user_id is not None:
            (request,) = self.hidden([Request(user_id, k)])
            engine = self.router.engine_for(request).engine
        predictor = engine.predictor
        if predictor is None:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, NO_MODEL)
        found = predictor.pipeline.similar(canonical(item_id, self.ids), k)
        if found is None:
            detail = f"there is no item {item_id!r}"
            raise HTTPError(HTTPStatus.NOT_FOUND, detail, field="item_id", value=item_id)
        items = [SimilarItem(*each) for each in found]
        return SimilarAnswer(predictor.model, predictor.version, item_id, items)

    async def explain(self, request_id: str) -> Explanation:
        """Return why an answer was what it was. Raises HTTPError: 404 if it is not in the log."""
        with suppress(SpoolError):  # what this process answered before is on disk then
            await self.spool.stored(())
        served = {one.version: one.pipeline.folder for one in self._predictors() if one.pipeline.folder}
        return await asyncio.to_thread(self.explainer.explain, request_id, served)

    async def upsert_items(self, items: list[ItemUpsert]) -> Receipt:
        """Store changes of items; return when they are durable. Raises HTTPError (400, 429 or 503)."""
        self.id_check.require_sound(items, "items")
        return await self._change(item_records(self.hidden(items), time.time()))

    async def upsert_users(self, users: list[UserUpsert]) -> Receipt:
        """Store changes of users; return when they are durable. Raises HTTPError (400, 429 or 503)."""
        self.id_check.require_sound(users, "users")
        return await self._change(user_records(self.hidden(users), time.time()))

    def hidden(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages with canonical ids, and with pseudonyms if those are used."""
        return with_stored_ids(messages, self.ids, self.pseudonyms)

    async def _change(self, records: Changes) -> Receipt:
        readers = [one.pipeline.overlay for one in self._predictors()]
        return await append_upserts(self.spool, records, readers)

    def _predictors(self) -> list[Predictor]:
        """Return what the engines answer with now."""
        return [one.predictor for one in self.router.engines if one.predictor is not None]

    def _submit(
        self,
        request: Request,
        request_id: str | None = None,
        kind: Kind = "recommend",
        session: list[str] | None = None,
        control: ControlHeader | None = None,
    ) -> asyncio.Future[InferenceResult]:
        (request,) = self.hidden([request])
        engine, assignment = self.router.engine_for(request)
        ask = InferenceRequest(
            request, request_id or new_request_id(), time.time(), kind, session, assignment
        )
        if control is not None:
            ask = ask._replace(
                assignment=control.assignment,
                is_logged=control.log != "none",
                shadow_of=control.shadow_of,
            )
        return engine.batcher.submit(ask)


def session_as_request(request: SessionRequest, request_id: str) -> Request:
    """Return a session's request as one of a user: `session:...`, which no known user's id can be.

    Args:
        request: The session's request; its items are not in the result.
        request_id: The id of the request, which names the user where the session has no id of its own.
    """
    user_id = f"session:{request.session_id or request_id}"
    return Request(user_id, request.k, request.context, request.exclude, device_id=request.device_id)


def rank_as_request(request: RankRequest) -> Request:
    """Return a request for an order of items as one for a list of them."""
    k = request.k or min(len(request.candidates), MAX_K)
    return Request(
        request.user_id, k, request.context, candidates=request.candidates, device_id=request.device_id
    )


def _status(engine: ServedEngine, predictor: Predictor) -> EngineStatus:
    target = engine.wanted
    wanted = msgspec.UNSET if target is None else WantedVersion(target.model, target.version)
    return EngineStatus(predictor.model, predictor.version, wanted, engine.pinned)
