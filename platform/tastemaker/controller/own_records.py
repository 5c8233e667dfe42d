"""Lists whose records the controller writes itself: the static one, and those of two services."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from tastemaker.api.schemas import Answer
from tastemaker.controller.list_request import ListRequest
from tastemaker.event_log.records import Assignment
from tastemaker.event_log.spool import Spool
from tastemaker.serving.inference.fallback_reasons import NO_SERVICE
from tastemaker.serving.inference.predictor import InferenceRequest, InferenceResult, StaticFallback
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.runtime.answer_log import record_of

NONE = "none"
"""The model and the version of a list of no service."""


class OwnRecords:
    """Writes records of lists, in one process."""

    def __init__(self, static_ids: Sequence[str], spool: Spool, recent: RecentFeedback) -> None:
        """Prepare to write.

        Args:
            static_ids: The items of the static list, in the order in which they are shown.
            spool: What the records are offered to.
            recent: What users did lately: it rules items of the static list out.
        """
        self._static_ids, self._spool, self._recent = static_ids, spool, recent

    def static(
        self, asked: ListRequest, request_id: str, model: str | None, assignment: Assignment | None
    ) -> Answer:
        """Answer with the static list, and offer the record to the log.

        Args:
            asked: The request, as `list_request` makes it.
            request_id: The answer's.
            model: The model whose service did not answer; None if there is none.
            assignment: The variant that the unit was assigned to.

        Returns:
            The items of the static list that may be shown, at most k.
        """
        start = time.monotonic()
        ask = _as_asked(asked, request_id, assignment)
        hidden = self._recent.had(asked.request.user_id, self._static_ids)
        result = StaticFallback(model or NONE, self._static_ids).answer(ask, NONE, NO_SERVICE, hidden)
        self._spool.offer(record_of(ask, result, time.monotonic() - start))
        return result.answer

    def mixed(
        self,
        asked: ListRequest,
        answer: Answer,
        teams: list[str] | None,
        assignment: Assignment | None,
        seconds: float,
    ) -> None:
        """Offer the record of an interleaved list to the log.

        Args:
            asked: The request, as `list_request` makes it.
            answer: The list that the user gets, with the request's id.
            teams: For each item the variant that placed it; None for one variant's whole list.
            assignment: The experiment, and the variant that the unit was assigned to.
            seconds: From the request to the answer.
        """
        ask = _as_asked(asked, answer.request_id, assignment)
        record = record_of(ask, InferenceResult(answer, None), seconds)
        self._spool.offer(msgspec.structs.replace(record, teams=teams))


def _as_asked(asked: ListRequest, request_id: str, assignment: Assignment | None) -> InferenceRequest:
    return InferenceRequest(asked.request, request_id, time.time(), asked.kind, asked.session, assignment)
