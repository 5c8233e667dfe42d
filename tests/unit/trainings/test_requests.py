"""A request for trainings is stored once per key, and its state is what was recorded last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from tastemaker.trainings.requests import (
    DONE,
    FAILED,
    HOURLY_LIMIT,
    LATE,
    RUNNING,
    WAITING,
    OtherRequestError,
    TooManyRequestsError,
    TrainingRequests,
    waiting_in_words,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def requests(engine: Engine) -> TrainingRequests:
    return TrainingRequests(engine, "shop")


def test_a_request_is_stored_once_per_actor_and_key(requests: TrainingRequests) -> None:
    first = requests.add(["ials", "ease", "ials"], "job", "a new catalogue", key="1")
    assert requests.add(["ease", "ials"], "job", "a new catalogue", key="1") == first
    assert (first.models, first.state) == (("ease", "ials"), WAITING)
    others = [
        requests.add(["ials"], "job", "a new catalogue", key="2"),
        requests.add(["ease", "ials"], "other job", "a new catalogue", key="1"),
    ]
    assert {one.id for one in requests.open()} == {first.id, *(one.id for one in others)}
    with pytest.raises(OtherRequestError, match="whose content is another"):
        requests.add(["ials"], "job", "a new catalogue", key="1")


def test_states_are_recorded_and_problems_are_apart(requests: TrainingRequests, engine: Engine) -> None:
    made = [requests.add([], "job", "why", key=str(number)) for number in range(3)]
    requests.set_state(made[0].id, RUNNING, run_id="r0")
    requests.set_state(made[1].id, DONE, run_id="r1")
    requests.set_state(made[2].id, FAILED, problem_text="no memory")
    assert [one.id for one in requests.open()] == [made[0].id]
    found = [requests.get(one.id) for one in made]
    assert [(one.state, one.run_id, one.problem_text, one.ended_at is None) for one in found if one] == [
        (RUNNING, "r0", None, True), (DONE, "r1", None, False), (FAILED, None, "no memory", False)
    ]  # fmt: skip
    assert TrainingRequests(engine, "other shop").get(made[0].id) is None
    assert requests.get("nonsense") is None


def test_an_actor_makes_so_many_requests_an_hour(requests: TrainingRequests) -> None:
    for number in range(HOURLY_LIMIT):
        requests.add([], "job", "why", key=str(number))
    with pytest.raises(TooManyRequestsError, match=f"may make {HOURLY_LIMIT}"):
        requests.add([], "job", "why", key="one more")
    assert requests.add([], "job", "why", key="0").state == WAITING, "a repeated one is not counted"
    assert requests.add([], "other job", "why", key="0").state == WAITING


def test_a_waiting_request_says_whether_it_will_be_seen() -> None:
    assert "no orchestrator has looked" in waiting_in_words(None, NOW)
    assert "within a minute" in waiting_in_words(NOW - LATE, NOW)
    late = waiting_in_words(NOW - LATE - timedelta(minutes=1), NOW)
    assert "looked for requests last at 2026-11-30 11:54 UTC" in late
