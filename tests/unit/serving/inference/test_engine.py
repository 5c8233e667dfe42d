"""Models that misbehave: each is answered for, in time, and the answer says who did and why."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from support.misbehaving_models import (
    DEADLINE,
    PATIENT,
    Act,
    Misbehaving,
    Settled,
    answers,
    asked,
    changed,
    engine,
    predictor,
    said,
    sleeping,
    sound,
    wait_for,
)
from tastemaker.plugins import (
    Batch,
    Ranking,
    empty_ranking,
)
from tastemaker.serving.inference.batcher import Batcher, Limits
from tastemaker.serving.inference.circuit_breaker import CircuitBreaker
from tastemaker.serving.inference.fallback_reasons import (
    MODEL_ERROR,
    MODEL_INVALID,
    MODEL_OVERLOADED,
    MODEL_SHORT,
    MODEL_TIMEOUT,
    NO_MODEL,
)
from tastemaker.serving.inference.pending_request import PendingRequest
from tastemaker.serving.inference.predictor import InferenceResult
from tastemaker.util import supervised_thread


def raising(batch: Batch, k: int) -> Ranking:
    raise RuntimeError("no")


def exiting(batch: Batch, k: int) -> Ranking:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (None, ([0, 1, 2], "model", None)),
        (raising, ([5, 4, 3], "popular", MODEL_ERROR)),
        (exiting, ([5, 4, 3], "popular", MODEL_ERROR)),
        (lambda batch, k: None, ([5, 4, 3], "popular", MODEL_ERROR)),
        (lambda batch, k: "a text", ([5, 4, 3], "popular", MODEL_ERROR)),
        (lambda batch, k: sound(batch, k)[:2], ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(items=lambda part: part[:, :, None]), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(items=lambda part: part[0]), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(scores=lambda part: part[:, 1:]), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(items=lambda part: np.vstack([part, part])), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(items=lambda part: part.astype(np.float64)), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(items=lambda part: part.astype(object)), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(items=lambda part: part.astype(str)), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(scores=lambda part: part.astype(str)), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(scores=lambda part: np.full(part.shape, None)), ([5, 4, 3], "popular", MODEL_ERROR)),
        (changed(scores=lambda part: part * np.nan), ([5, 4, 3], "popular", MODEL_INVALID)),
        (changed(propensities=lambda part: part * np.nan), ([5, 4, 3], "popular", MODEL_INVALID)),
        (changed(propensities=lambda part: part * 2), ([5, 4, 3], "popular", MODEL_INVALID)),
        (changed(items=lambda part: part * 0), ([0, 5, 4], "model", MODEL_INVALID)),
        (changed(items=lambda part: part + 4), ([4, 5, 3], "model", MODEL_INVALID)),
        (changed(items=lambda part: part - 5), ([5, 4, 3], "popular", MODEL_INVALID)),
        (lambda batch, k: sound(batch, 1), ([0, 5, 4], "model", MODEL_SHORT)),
        (lambda batch, k: empty_ranking(len(batch), k), ([5, 4, 3], "popular", MODEL_SHORT)),
        (lambda batch, k: sound(batch, k + 2), ([0, 1, 2], "model", None)),
        (changed(items=lambda part: part.astype(np.int64)), ([0, 1, 2], "model", None)),
    ],
)
def test_what_a_model_should_not_return_never_reaches_the_user(act: Act | None, expected: Any) -> None:
    settled = Settled()
    with engine(Misbehaving(act), settle=settled) as one:
        (served,) = answers(one, [asked()])
    assert said(served) == expected
    assert [each for _, each in settled] == [served], "counted and logged once"


def test_requests_that_come_densely_are_asked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.serving.inference.batcher.PACE_SECONDS", PATIENT / 20)
    model = Misbehaving()

    async def densely(one: Batcher) -> None:
        await asyncio.gather(*(one.submit(asked(number=number)) for number in range(5)))
        first = one.submit(asked(number=5))
        await asyncio.sleep(PATIENT / 200)
        await asyncio.gather(first, one.submit(asked(number=6)))

    with engine(model) as one:
        asyncio.run(densely(one))
    assert sum(model.sizes) == 7
    assert model.sizes[-1] == 2, "the sixth waited for the seventh"


def test_a_single_request_does_not_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.serving.inference.batcher.PACE_SECONDS", 2 * PATIENT)
    model = Misbehaving()

    async def one_by_one(one: Batcher) -> list[InferenceResult]:
        return [await one.submit(asked(number=number)) for number in range(5)]

    with engine(model) as one:
        served = asyncio.run(one_by_one(one))
    assert [said(each) for each in served] == [([0, 1, 2], "model", None)] * 5
    assert model.sizes == [1] * 5


def test_enough_requests_do_not_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastemaker.serving.inference.batcher.PACE_SECONDS", 2 * PATIENT)
    monkeypatch.setattr("tastemaker.serving.inference.batcher.ENOUGH_ROWS", 4)
    begun, end = threading.Event(), threading.Event()

    def act(batch: Batch, k: int) -> Ranking:
        begun.set()
        assert end.wait(PATIENT)
        return sound(batch, k)

    model = Misbehaving(act)

    async def crowded(one: Batcher) -> list[InferenceResult]:
        first = one.submit(asked(number=0))
        await asyncio.to_thread(begun.wait, PATIENT)
        some = [one.submit(asked(number=number)) for number in (1, 2)]
        end.set()
        await first
        return await asyncio.gather(*some, *(one.submit(asked(number=number)) for number in (3, 4)))

    with engine(model) as one:
        served = asyncio.run(crowded(one))
    assert [said(each) for each in served] == [([0, 1, 2], "model", None)] * 4
    assert model.sizes == [1, 4]


def test_an_answered_request_is_forgotten_long_before_its_deadline() -> None:
    async def ask(one: Batcher) -> int:
        await asyncio.gather(*(one.submit(asked(number=number)) for number in range(5)))
        return len(one._pending)

    with engine(Misbehaving()) as one:
        assert asyncio.run(ask(one)) == 0


def test_a_request_that_breaks_the_model_takes_no_other_along() -> None:
    def act(batch: Batch, k: int) -> Ranking:
        if 3 in batch.users:
            raise RuntimeError("no user 3")
        return sound(batch, k)

    with engine(Misbehaving(act)) as one:
        served = answers(one, [asked(f"u{number}") for number in range(8)])
    assert [each.answer.fallback for each in served] == [None] * 3 + [MODEL_ERROR] + [None] * 4


def test_requests_that_wait_are_asked_together_and_answered_apart() -> None:
    entered, go = threading.Event(), threading.Event()

    def act(batch: Batch, k: int) -> Ranking:
        entered.set()
        go.wait(PATIENT)
        return sound(batch, k)

    model = Misbehaving(act)
    mixed = [
        asked("u1", 2),
        asked("u2", 2, exclude=["item-0"]),
        asked("u3", 4),
        asked("u4", 2, candidates=["item-5", "nothing", "item-2", "item-4"]),
        asked("u5", 2, candidates=["item-3"]),
        asked("u6", 2, context=[1.0]),
        asked("u7", 2, context={"page": "home"}),
    ]

    async def all_of_them(one: Batcher) -> list[InferenceResult]:
        first = one.submit(asked("u0", 1))
        await asyncio.to_thread(entered.wait, PATIENT)
        rest = [one.submit(ask) for ask in mixed]
        go.set()
        return [await each for each in (first, *rest)]

    with engine(model) as one:
        served = asyncio.run(all_of_them(one))
    assert [said(each)[0] for each in served] == [
        [0],
        [0, 1],
        [1, 2],
        [0, 1, 2, 3],
        [2, 4],
        [3],
        [0, 1],
        [0, 1],
    ]
    assert {said(each)[1:] for each in served} <= {("model", None), ("model", MODEL_SHORT)}
    assert sum(model.sizes) == len(mixed) + 1
    assert max(model.sizes) > 1


def test_what_does_not_fit_into_the_queue_is_answered_at_once() -> None:
    entered, go = threading.Event(), threading.Event()

    def act(batch: Batch, k: int) -> Ranking:
        entered.set()
        go.wait(PATIENT)
        return sound(batch, k)

    async def flood(one: Batcher) -> list[str | None]:
        first = one.submit(asked())
        await asyncio.to_thread(entered.wait, PATIENT)
        rest = [one.submit(asked(number=number)) for number in range(5)]
        at_once = [each.done() for each in rest]
        go.set()
        done = [await each for each in (first, *rest)]
        assert at_once == [False, False, True, True, True]
        return [each.answer.fallback for each in done]

    with engine(Misbehaving(act), waiting=2) as one:
        assert asyncio.run(flood(one)) == [None, None, None, *[MODEL_OVERLOADED] * 3]


def test_a_session_is_a_history_without_a_user() -> None:
    seen: list[Batch] = []

    def act(batch: Batch, k: int) -> Ranking:
        seen.append(batch)
        return sound(batch, k)

    session = ["item-3", "no such item", "item-1", "item-3"]
    with engine(Misbehaving(act)) as one:
        ask = asked("u1")._replace(session=session, kind="session")
        served = answers(one, [ask])
    assert said(served[0]) == ([0, 1, 2], "model", None)
    (batch,) = seen
    assert batch.users.tolist() == [-1], "also where the session is called like a user"
    assert batch.history.items.tolist() == [1, 3]
    assert batch.history.counts.tolist() == [1, 2]
    assert batch.history.last_times.tolist() == [98, 99], "later items are later"
    assert batch.history.last_times.max() < batch.now


def test_another_version_answers_from_the_next_request_on() -> None:
    entered, go = threading.Event(), threading.Event()

    def act(batch: Batch, k: int) -> Ranking:
        entered.set()
        go.wait(PATIENT)
        return sound(batch, k)

    async def swapped(one: Batcher) -> list[str]:
        first = one.submit(asked())
        await asyncio.to_thread(entered.wait, PATIENT)
        one.swap(predictor(Misbehaving(), "v2"))
        second = one.submit(asked())
        go.set()
        return [(await each).answer.version for each in (first, second)]

    with engine(Misbehaving(act)) as one:
        assert asyncio.run(swapped(one)) == ["v1", "v2"]


def test_a_version_that_was_replaced_is_forgotten_at_once() -> None:
    with engine(Misbehaving()) as one:
        assert one.predictor is not None
        old = weakref.ref(one.predictor)
        answers(one, [asked()])
        gc.disable()  # what is loaded at first is frozen, so the collector never looks at it
        try:
            one.swap(predictor(Misbehaving(), "v2"))
            answers(one, [asked()])
            assert old() is None
        finally:
            gc.enable()


def test_without_a_version_the_static_list_answers() -> None:
    with engine(None, static_ids=["item-4", "item-2", "item-1"]) as one:
        served = answers(
            one,
            [asked(), asked(k=2, exclude=["item-4"]), asked(candidates=["item-1", "item-4"]), asked(k=1)],
        )
        assert [said(each)[0] for each in served] == [[4, 2, 1], [2, 1], [4, 1], [4]]
        assert {said(each)[1:] for each in served} == {("static", NO_MODEL)}
        one.swap(predictor(Misbehaving()))
        assert said(answers(one, [asked()])[0]) == ([0, 1, 2], "model", None)


def test_when_even_the_look_ups_fail_what_was_popular_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with engine(Misbehaving(raising)) as one:
        assert one.predictor is not None
        monkeypatch.setattr(one.predictor, "_stages", None)
        assert said(answers(one, [asked()])[0]) == ([5, 4, 3], "static", MODEL_ERROR)


def test_answers_that_can_not_be_counted_or_logged_are_answers(caplog: pytest.LogCaptureFixture) -> None:
    def full(answers: Sequence[tuple[PendingRequest, InferenceResult]], timestamp: float) -> None:
        raise OSError("no space left on device")

    stop = threading.Event()
    model = Misbehaving(sleeping(stop))
    with engine(model, DEADLINE, settle=full) as one:
        assert said(answers(one, [asked()])[0]) == ([5, 4, 3], "popular", MODEL_TIMEOUT)
        model.act = None
        wait_for(lambda: answers(one, [asked()])[0].answer.fallback is None, "it is still looked after")
        stop.set()
    assert "could not be counted or logged" in caplog.text


def test_a_breaker_opens_for_longer_each_time_and_closes() -> None:
    breaker = CircuitBreaker(failures=2, open_seconds=1, longest_seconds=3)
    breaker.record_failure(0)
    assert breaker.admits(0)
    breaker.record_success()
    breaker.record_failure(0)
    breaker.record_failure(0)
    assert not breaker.admits(0.5)
    for rested, rest in ((1, 2), (3, 3), (6, 3)):
        assert breaker.admits(rested), "one probe"
        assert not breaker.admits(rested), "and no second"
        breaker.record_failure(rested)
        assert not breaker.admits(rested + rest - 0.1)
    assert breaker.admits(9)
    assert not breaker.admits(11)
    assert breaker.admits(12), "the probe was never heard of again"
    breaker.record_success()
    assert breaker.closed
    assert breaker.admits(9)
    breaker.record_failure(9)
    assert breaker.admits(9), "as forbearing as at first"


@pytest.mark.parametrize("fault", [SystemExit(1), MemoryError(), TypeError("a defect of ours")])
def test_a_thread_that_an_error_ends_begins_again(
    fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised_thread, "AGAIN_SECONDS", 0.01)
    with engine(Misbehaving(), PATIENT) as one:
        line = one._line
        assert line is not None
        with monkeypatch.context() as broken:

            def fail(batch: object) -> None:
                broken.undo()
                raise fault

            broken.setattr(line, "_ask", fail)
            one.limits = Limits(DEADLINE)
            (served,) = answers(one, [asked()])
            assert served.answer.fallback == MODEL_TIMEOUT
        one.limits = Limits(PATIENT)
        (served,) = answers(one, [asked()])
        assert served.answer.fallback is None
        wait_for(lambda: one.trouble is None, "the thread works, and is still in trouble")
