"""The list for when no service answers. The controller writes its record, as no service does."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tastemaker.api.schemas import Answer
from tastemaker.controller.list_request import ListRequest
from tastemaker.event_log.records import Assignment
from tastemaker.event_log.spool import Spool
from tastemaker.serving.inference.fallback_reasons import NO_SERVICE
from tastemaker.serving.inference.predictor import InferenceRequest, StaticFallback
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.runtime.answer_log import record_of

NO_VERSION = "none"


class StaticList:
    """The items of `serving.static_items`, without those that a user's feedback rules out."""

    def __init__(self, item_ids: Sequence[str], spool: Spool, recent: RecentFeedback) -> None:
        self._item_ids, self._spool, self._recent = item_ids, spool, recent

    def answer(
        self, asked: ListRequest, request_id: str, model: str, assignment: Assignment | None
    ) -> Answer:
        """Answer a request, and offer its record to the log.

        Args:
            asked: The request.
            request_id: The answer's.
            model: The model whose service did not answer.
            assignment: The variant that the unit was assigned to.
        """
        start = time.monotonic()
        ask = InferenceRequest(asked.request, request_id, time.time(), asked.kind, asked.session, assignment)
        hidden = self._recent.had(asked.request.user_id, self._item_ids)
        result = StaticFallback(model, self._item_ids).answer(ask, NO_VERSION, NO_SERVICE, hidden)
        self._spool.offer(record_of(ask, result, time.monotonic() - start))
        return result.answer
