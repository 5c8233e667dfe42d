"""Models that hang: requests are answered in time, and the model's thread is replaced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from support.misbehaving_models import (
    DEADLINE,
    PATIENT,
    Act,
    Misbehaving,
    answers,
    asked,
    engine,
    said,
    sleeping,
    sound,
    wait_for,
)
from tastemaker.plugins import (
    Batch,
    Ranking,
)
from tastemaker.serving.inference.batcher import MAX_HUNG, Batcher
from tastemaker.serving.inference.fallback_reasons import (
    MODEL_OVERLOADED,
    MODEL_RESTING,
    MODEL_TIMEOUT,
)


def spinning(stop: threading.Event) -> Act:
    """Busy in Python until it is stopped: by the test, or before by the engine."""

    def act(batch: Batch, k: int) -> Ranking:
        while not stop.is_set():
            pass
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


def hung(one: Batcher) -> int:
    """Return how many abandoned threads still run."""
    return sum(line.thread.is_alive() for line in one._hung)


def test_a_model_that_hangs_repeatedly_is_not_called_for_a_while() -> None:
    stop = threading.Event()
    model = Misbehaving(sleeping(stop))
    with engine(model, DEADLINE) as one:
        reasons = [answers(one, [asked()])[0].answer.fallback for _ in range(2)]
        answers_until(one, lambda: not one.breaker.closed or hung(one) >= MAX_HUNG, "it rests")
        assert set(reasons) <= {MODEL_TIMEOUT, MODEL_OVERLOADED}
        start = time.monotonic()
        (served,) = answers(one, [asked()])
        assert said(served) == ([5, 4, 3], "popular", MODEL_RESTING)
        assert time.monotonic() - start < DEADLINE, "no request waits while the circuit is open"
        assert hung(one) <= MAX_HUNG
        model.act = None
        stop.set()
        wait_for(lambda: answers(one, [asked()])[0].answer.fallback is None, "a probe found it well again")


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
