"""The garbage collector does not look at what a busy service makes by the thousand."""

from __future__ import annotations

import gc

from tastemaker.api.schemas import Answer, Request
from tastemaker.event_log.records import Item, Record


def test_a_request_its_answer_and_its_record_are_not_walked_by_the_garbage_collector() -> None:
    request = Request("anna", exclude=["tea"])
    answer = Answer("0" * 32, "popularity", "v1", [Item("cup", 1.0, 1.0)], None)
    record = Record(
        answer.request_id, 1.0, request.user_id, 1, answer.model, answer.version, answer.items, 2.0
    )
    assert not any(map(gc.is_tracked, (request, answer, record, *answer.items)))
