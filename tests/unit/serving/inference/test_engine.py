"""Models that misbehave: each is answered for, in time, and the answer says who did and why."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Self, cast

import numpy as np
import pytest

from tastemaker.api.schemas import Request
from tastemaker.plugins import (
    Batch,
    Config,
    History,
    Ranking,
    Recommender,
    TrainingData,
    empty_ranking,
    select,
)
from tastemaker.registry.artifact import LoadedVersion
from tastemaker.serving.inference.batcher import MAX_HUNG, Batcher, Limits
from tastemaker.serving.inference.circuit_breaker import CircuitBreaker
from tastemaker.serving.inference.fallback_reasons import (
    MODEL_ERROR,
    MODEL_INVALID,
    MODEL_OVERLOADED,
    MODEL_RESTING,
    MODEL_SHORT,
    MODEL_TIMEOUT,
    NO_MODEL,
)
from tastemaker.serving.inference.pending_request import PendingRequest
from tastemaker.serving.inference.predictor import InferenceRequest, InferenceResult, Predictor
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.util import supervised_thread

N_ITEMS = 6
ITEMS = [f"item-{number}" for number in range(N_ITEMS)]
POPULAR = [5, 4, 3, 2, 1, 0]
DEADLINE = 0.15
PATIENT = 20.0
"""For models that are to be waited for, however busy the machine is."""
Act = Callable[[Batch, int], Any]


class Misbehaving(Recommender[Config]):
    """Item 0 first, then 1 and so on, unless a test changes that."""

    name = "misbehaving"
    reference = "none"
    config_type = Config

    def __init__(self, act: Act | None = None) -> None:
        super().__init__()
        self.act = act
        self.sizes: list[int] = []
        """The rows of each call."""

    def fit(self, data: TrainingData) -> Self:
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        self.sizes.append(len(batch))
        return cast(Ranking, (self.act or sound)(batch, k))


def sound(batch: Batch, k: int) -> Ranking:
    """What a model should do."""
    return select(np.tile(-np.arange(N_ITEMS, dtype=np.float32), (len(batch), 1)), batch, k)


def changed(**parts: Callable[[np.ndarray], np.ndarray]) -> Act:
    """A sound ranking of which some parts were changed."""

    def act(batch: Batch, k: int) -> Ranking:
        ranking = sound(batch, k)
        return ranking._replace(**{name: change(getattr(ranking, name)) for name, change in parts.items()})

    return act


def predictor(model: Recommender[Any], version: str = "v1") -> Predictor:
    """Users u0 to u9 without a history."""
    snapshot = Snapshot(
        user_ids=IdIndex.build([f"u{number}" for number in range(10)]),
        item_ids=IdIndex.build(ITEMS),
        history=History.empty(10, N_ITEMS),
        end=0,
        repeats=True,
        available=None,
        popular=np.array(POPULAR, np.int32),
        item_features=None,
        data_hash="none",
    )
    manifest = SimpleNamespace(
        problem_spec={}, model="misbehaving", version=version, created_at=datetime.fromtimestamp(0, UTC)
    )
    return Predictor(LoadedVersion(model, snapshot, cast(Any, manifest)))


class Settled(list[tuple[PendingRequest, InferenceResult]]):
    """What an engine reported."""

    def __call__(self, answers: Sequence[tuple[PendingRequest, InferenceResult]], timestamp: float) -> None:
        self.extend(answers)


@contextmanager
def engine(
    model: Recommender[Any] | None, seconds: float = PATIENT, waiting: int = 1_000, **more: Any
) -> Iterator[Batcher]:
    """An engine that is closed in the end."""
    made = Batcher(
        "misbehaving",
        None if model is None else predictor(model),
        more.pop("settle", Settled()),
        Limits(seconds, waiting),
        **more,
    )
    yield made
    made.close()


def asked(user: str = "u0", k: int = 3, number: int = 0, **more: Any) -> InferenceRequest:
    """A request."""
    return InferenceRequest(Request(user, k, **more), f"{number:032x}", 100.0)


def answers(one: Batcher, asks: Sequence[InferenceRequest]) -> list[InferenceResult]:
    """The answers to requests that arrive at once."""

    async def all_of_them() -> list[InferenceResult]:
        return await asyncio.gather(*map(one.submit, asks))

    return asyncio.run(all_of_them())


def said(served: InferenceResult) -> tuple[list[int], str, str | None]:
    """Items by number, stage, reason."""
    answer = served.answer
    return [ITEMS.index(item.item_id) for item in answer.items], answer.stage, answer.fallback


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


def spinning(stop: threading.Event) -> Act:
    """Busy in Python until it is stopped: by the test, or before by the engine."""

    def act(batch: Batch, k: int) -> Ranking:
        while not stop.is_set():
            pass
        return sound(batch, k)

    return act


def sleeping(stop: threading.Event) -> Act:
    """Out of Python until it is stopped, in steps that no interrupt cuts short."""

    def act(batch: Batch, k: int) -> Ranking:
        time.sleep(6 * DEADLINE)
        stop.wait(PATIENT)
        return sound(batch, k)

    return act


@pytest.mark.parametrize("hang", [sleeping, spinning])
def test_a_model_that_hangs_is_answered_for_at_its_deadline_and_replaced(
    hang: Callable[[threading.Event], Act],
) -> None:
    stop = threading.Event()
    model = Misbehaving(hang(stop))
    with engine(model, DEADLINE) as one:
        start = time.monotonic()
        (served,) = answers(one, [asked()])
        assert said(served) == ([5, 4, 3], "popular", MODEL_TIMEOUT)
        assert DEADLINE * 0.9 <= time.monotonic() - start < PATIENT / 2
        model.act = None
        wait_for(lambda: answers(one, [asked()])[0].answer.fallback is None, "the thread was replaced")
        stop.set()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Until it holds."""
    end = time.monotonic() + PATIENT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_a_thread_that_spins_in_python_is_ended() -> None:
    stop = threading.Event()
    before = set(threading.enumerate())
    with engine(Misbehaving(spinning(stop)), DEADLINE) as one:
        hung = next(thread for thread in threading.enumerate() if thread not in before)
        answers(one, [asked()])
        answers_until(one, lambda: not hung.is_alive(), "the spinning thread was interrupted")
        assert not stop.is_set()
        stop.set()


def answers_until(one: Batcher, condition: Callable[[], bool], what: str) -> None:
    """Ask, so that the engine looks after its thread, until the condition holds."""

    def asked_again() -> bool:
        answers(one, [asked()])
        return condition()

    wait_for(asked_again, what)


def test_a_model_that_hangs_repeatedly_is_not_called_for_a_while() -> None:
    stop = threading.Event()
    model = Misbehaving(sleeping(stop))
    with engine(model, DEADLINE) as one:
        reasons = [answers(one, [asked()])[0].answer.fallback for _ in range(2)]
        answers_until(one, lambda: not one.breaker.closed or one.hung >= MAX_HUNG, "it rests")
        assert set(reasons) <= {MODEL_TIMEOUT, MODEL_OVERLOADED}
        start = time.monotonic()
        (served,) = answers(one, [asked()])
        assert said(served) == ([5, 4, 3], "popular", MODEL_RESTING)
        assert time.monotonic() - start < DEADLINE, "no request waits while the circuit is open"
        assert one.hung <= MAX_HUNG
        model.act = None
        stop.set()
        wait_for(lambda: answers(one, [asked()])[0].answer.fallback is None, "a probe found it well again")


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


def test_a_model_that_hangs_again_and_again_is_trouble_until_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "tastemaker")
    stop = threading.Event()
    model = Misbehaving(sleeping(stop))
    with engine(model, 0.02) as one:
        words = "the model hangs and is not called for a while; lists are answered without it"
        answers_until(one, lambda: one.trouble == words, "the model hangs, and nothing says so")
        model.act = None
        stop.set()
        answers_until(one, lambda: one.trouble is None, "the model answers, and is still in trouble")
    assert sum("is not called for a while" in message for message in caplog.messages) == 1
    assert sum("answers again" in message for message in caplog.messages) == 1


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
