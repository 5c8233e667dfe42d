"""Models that misbehave, an engine that serves one, and requests to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Self, cast

import numpy as np

from tastemaker.api.schemas import Request
from tastemaker.plugins import (
    Batch,
    Config,
    History,
    Ranking,
    Recommender,
    TrainingData,
    select,
)
from tastemaker.registry.artifact import LoadedVersion
from tastemaker.serving.inference.batcher import Batcher, Limits
from tastemaker.serving.inference.pending_request import PendingRequest
from tastemaker.serving.inference.predictor import InferenceRequest, InferenceResult, Predictor
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot

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


def sleeping(stop: threading.Event) -> Act:
    """Out of Python until it is stopped, in steps that no interrupt cuts short."""

    def act(batch: Batch, k: int) -> Ranking:
        time.sleep(6 * DEADLINE)
        stop.wait(PATIENT)
        return sound(batch, k)

    return act


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Until it holds."""
    end = time.monotonic() + PATIENT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)
