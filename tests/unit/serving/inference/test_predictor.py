"""Whatever the model does, the caller gets k allowed items, and the answer says who chose them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Self, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.api.schemas import Request
from tastemaker.errors import PluginError
from tastemaker.event_log.records import Item
from tastemaker.plugins import (
    Batch,
    Capabilities,
    Config,
    Events,
    History,
    Ranking,
    Recommender,
    TrainingData,
    empty_ranking,
    select,
)
from tastemaker.plugins.arrays import Float32
from tastemaker.registry.artifact import LoadedVersion
from tastemaker.serving.inference.fallback_reasons import MODEL_ERROR, MODEL_INVALID, MODEL_SHORT
from tastemaker.serving.inference.predictor import InferenceRequest, InferenceResult, Predictor
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot

ITEMS = [f"item-{number}" for number in range(8)]
POPULAR = [7, 6, 5, 4, 3, 2, 1]
"""Item 0 is not available."""
NOW = 1_700_000_000
REQUEST_ID = "0" * 16 + "0123456789abcdef"


def snapshot(*, repeats: bool = True) -> Snapshot:
    """Two users: ann had items 6 and 7, bob had item 1."""
    events = Events(
        np.array([0, 0, 1], np.int32),
        np.array([6, 7, 1], np.int32),
        np.ones(3, np.float32),
        np.arange(3, dtype=np.int64),
    )
    available = np.ones(8, np.bool_)
    available[0] = False
    return Snapshot(
        user_ids=IdIndex.build(["ann", "bob"]),
        item_ids=IdIndex.build(ITEMS),
        history=History.from_events(events, 2, 8),
        end=NOW,
        repeats=repeats,
        available=available,
        popular=np.array(POPULAR, np.int32),
        item_features=None,
        data_hash="none",
    )


class Scripted(Recommender[Config]):
    """Does what a test wants of it."""

    name = "scripted"
    reference = "none"
    config_type = Config

    def __init__(self, act: Callable[[Batch, int], Ranking], reads: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.act = act
        self.capabilities = Capabilities(user_features=reads)  # type: ignore[misc]

    def fit(self, data: TrainingData) -> Self:
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return self.act(batch, k)


def predictor(
    model: Recommender[Any], *, features: Any = None, repeats: bool = True, trained_at: int = NOW
) -> Predictor:
    """A predictor over the small snapshot."""
    created_at = datetime.fromtimestamp(trained_at, UTC)
    manifest = SimpleNamespace(model="scripted", version="v1", created_at=created_at, problem_spec={})
    return Predictor(LoadedVersion(model, snapshot(repeats=repeats), cast(Any, manifest)), features=features)


def answered(one: Predictor, request: Request, now: int = NOW) -> InferenceResult:
    """The answer to one request."""
    return one.recommend([InferenceRequest(request, REQUEST_ID, now)])[0]


def by_number(batch: Batch, k: int) -> Ranking:
    """A sound model: the item with the smallest number first."""
    return select(np.tile(-np.arange(8, dtype=np.float32), (len(batch), 1)), batch, k)


def fixed(items: Sequence[int], scores: Sequence[float] | None = None, chance: float = 1.0) -> Scripted:
    """A model that always says the same."""

    def act(batch: Batch, k: int) -> Ranking:
        ranking = empty_ranking(1, max(k, len(items)))
        ranking.items[0, : len(items)] = items
        ranking.scores[0, : len(items)] = range(len(items), 0, -1) if scores is None else scores
        ranking.propensities[0, : len(items)] = chance
        return ranking

    return Scripted(act)


def broken(batch: Batch, k: int) -> Ranking:
    raise RuntimeError("no")


def ids(items: list[Item]) -> list[int]:
    """The numbers of the items in an answer."""
    return [ITEMS.index(item.item_id) for item in items]


def test_a_sound_model_answers_alone() -> None:
    served = answered(predictor(Scripted(by_number)), Request("ann", k=3))
    assert served.answer.items == [Item(f"item-{n}", -float(n), 1.0) for n in (1, 2, 3)]
    assert (served.answer.fallback, served.answer.model, served.answer.version) == (None, "scripted", "v1")
    assert (served.answer.request_id, served.features) == (REQUEST_ID, None)


@pytest.mark.parametrize(
    ("model", "expected", "reason"),
    [
        (Scripted(broken), [7, 6, 5], MODEL_ERROR),
        (fixed([]), [7, 6, 5], MODEL_SHORT),
        (fixed([2]), [2, 7, 6], MODEL_SHORT),
        (fixed([7, 2]), [7, 2, 6], MODEL_SHORT),
        (fixed([2, 2, 3]), [2, 3, 7], MODEL_INVALID),
        (fixed([0, 2, 3]), [2, 3, 7], MODEL_INVALID),
        (fixed([99, 2, 3]), [2, 3, 7], MODEL_INVALID),
        (fixed([1, 2, 3], [3.0, float("nan"), 1.0]), [1, 3, 7], MODEL_INVALID),
        (fixed([1, 2, 3], chance=0.0), [7, 6, 5], MODEL_INVALID),
        (fixed([1, 2, 3, 4, 5]), [1, 2, 3], None),
        (Scripted(lambda batch, k: cast(Any, "no ranking")), [7, 6, 5], MODEL_ERROR),
    ],
)
def test_popular_items_fill_what_the_model_leaves(
    model: Scripted, expected: list[int], reason: str | None
) -> None:
    answer = answered(predictor(model), Request("ann", k=3)).answer
    assert (ids(answer.items), answer.fallback) == (expected, reason)
    assert answer.stage == ("popular" if expected == [7, 6, 5] else "model")


@pytest.mark.parametrize(
    ("model", "sources"),
    [
        (fixed([1, 2, 3]), []),
        (fixed([2]), [("precomputed", 1), ("popular", 1)]),
        (Scripted(broken), [("precomputed", 1), ("popular", 2)]),
    ],
)
def test_an_answer_says_how_many_items_were_chosen_by_what(
    model: Scripted, sources: list[tuple[str, int]]
) -> None:
    one = predictor(model)
    one._lists = cast(Any, SimpleNamespace(of=lambda user: np.array([4], np.int32)))
    assert list(answered(one, Request("ann", k=3)).sources) == sources


@pytest.mark.parametrize("model", [Scripted(by_number), Scripted(broken), fixed([])])
def test_the_fallback_keeps_to_what_is_allowed(model: Scripted) -> None:
    fresh = predictor(model, repeats=False)
    request = Request("ann", k=8, exclude=["item-5", "no such item"])
    assert set(ids(answered(fresh, request).answer.items)) == {1, 2, 3, 4}
    request = Request("ann", k=8, candidates=["item-1", "item-0", "item-7", "no such item"])
    assert set(ids(answered(fresh, request).answer.items)) == {1}


def test_fewer_items_than_k_are_not_a_fallback_where_no_more_are_allowed() -> None:
    answer = answered(predictor(Scripted(by_number)), Request("ann", k=100)).answer
    assert (ids(answer.items), answer.fallback) == ([1, 2, 3, 4, 5, 6, 7], None)
    request = Request("ann", candidates=["no such item"])
    answer = answered(predictor(Scripted(by_number)), request).answer
    assert (answer.items, answer.fallback) == ([], None)


@pytest.mark.parametrize("user", ["unknown", "ann\0", "Ž🛍", "a" * 200])
def test_an_unknown_user_has_no_history(user: str) -> None:
    seen: list[Batch] = []

    def act(batch: Batch, k: int) -> Ranking:
        seen.append(batch)
        return by_number(batch, k)

    answer = answered(predictor(Scripted(act), repeats=False), Request(user, k=2)).answer
    assert (ids(answer.items), answer.fallback) == ([1, 2], None)
    assert seen[0].users.tolist() == [-1]
    assert seen[0].history.lengths.tolist() == [0]


def test_the_request_id_seeds_the_batch_and_numbers_are_the_context() -> None:
    seen: list[Batch] = []

    def act(batch: Batch, k: int) -> Ranking:
        seen.append(batch)
        return by_number(batch, k)

    one = predictor(Scripted(act))
    answered(one, Request("bob", context=[1.0, 2.5]))
    answered(one, Request("bob", context={"page": "home"}))
    assert seen[0].seeds.tolist() == [0x0123456789ABCDEF]
    assert seen[0].now == NOW
    assert seen[0].context is not None
    assert seen[0].context.tolist() == [[1.0, 2.5]]
    assert seen[1].context is None


@pytest.mark.parametrize(("trained_at", "expected"), [(NOW - 3_600, NOW + 60), (NOW + 86_400, NOW - 86_340)])
def test_time_continues_from_where_the_data_ended(trained_at: int, expected: int) -> None:
    """A version that was trained a day after its data ended sees the world a day late."""
    seen: list[int] = []

    def act(batch: Batch, k: int) -> Ranking:
        seen.append(batch.now)
        return by_number(batch, k)

    answered(predictor(Scripted(act), trained_at=trained_at), Request("ann"), NOW + 60)
    assert seen == [expected]


def test_features_are_handed_over_and_logged_and_a_session_has_none() -> None:
    seen: list[list[float]] = []

    def act(batch: Batch, k: int) -> Ranking:
        assert batch.user_features is not None
        seen.extend(batch.user_features.values.tolist())
        return by_number(batch, k)

    def features(user_ids: Sequence[str]) -> Float32:
        return np.array([[len(user_id), np.nan] for user_id in user_ids], np.float32)

    one = predictor(Scripted(act, reads=("name_length", "recency_days")), features=features)
    request = Request("bobby", k=1)
    asks = [
        InferenceRequest(request, REQUEST_ID, NOW),
        InferenceRequest(request, REQUEST_ID, NOW, "session", ["item-1"]),
    ]
    served = one.recommend([*asks, InferenceRequest(Request("ann", k=1), REQUEST_ID, NOW)])
    assert [each.features for each in served] == [
        {"name_length": 5.0, "recency_days": None},
        {"name_length": None, "recency_days": None},
        {"name_length": 3.0, "recency_days": None},
    ]
    assert [[value for value in row if value == value] for row in seen] == [[5.0], [3.0], []]


def test_a_model_that_writes_to_its_input_is_answered_for_and_its_line_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def writes(batch: Batch, k: int) -> Ranking:
        batch.history.rewards[:] = 0
        return by_number(batch, k)

    served = answered(predictor(Scripted(writes)), Request("ann", k=2))
    assert (served.answer.fallback, ids(served.answer.items)) == (MODEL_ERROR, POPULAR[:2])
    assert "writes to batch.history.rewards, which is read-only" in caplog.text
    assert "batch.history.rewards[:] = 0" in caplog.text


def test_warming_up_raises_what_the_model_raises() -> None:
    with pytest.raises(PluginError, match="failed to recommend: RuntimeError: no"):
        predictor(Scripted(broken)).warm_up(REQUEST_ID, NOW)


def test_what_was_learned_is_warmed_up_for_the_lengths_that_people_ask_for() -> None:
    lengths: list[int] = []

    def act(batch: Batch, k: int) -> Ranking:
        lengths.append(k)
        return by_number(batch, k)

    served = predictor(Scripted(by_number))
    served.with_model(Scripted(act), "first").warm_up(REQUEST_ID, NOW)
    for k in [5, 3, 5, *range(20, 100)]:
        answered(served, Request("ann", k=k))
    served.with_model(Scripted(act), "second").warm_up(REQUEST_ID, NOW)
    assert lengths == [10, 5, 3, 20, 21, 22, 23, 24, 25]


@settings(deadline=None)
@given(
    items=st.lists(st.integers(-3, 20), max_size=12),
    k=st.integers(1, 12),
    exclude=st.lists(st.sampled_from([*ITEMS, "unknown item"])),
    candidates=st.none() | st.lists(st.sampled_from([*ITEMS, "unknown item"]), min_size=1),
    user=st.sampled_from(["ann", "bob", "unknown"]),
    repeats=st.booleans(),
)
def test_every_answer_is_as_long_as_it_can_be_and_allowed(
    items: list[int], k: int, exclude: list[str], candidates: list[str] | None, user: str, repeats: bool
) -> None:
    request = Request(user, k=k, exclude=exclude, candidates=candidates)
    answer = answered(predictor(fixed(items), repeats=repeats), request).answer
    had = {} if repeats else {"ann": {"item-6", "item-7"}, "bob": {"item-1"}}
    allowed = set(ITEMS[1:]) - set(exclude) - had.get(user, set())
    if candidates is not None:
        allowed &= set(candidates)
    shown = [item.item_id for item in answer.items]
    assert len(shown) == len(set(shown)) == min(k, len(allowed))
    assert set(shown) <= allowed
