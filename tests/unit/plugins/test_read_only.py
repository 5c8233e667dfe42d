"""No model can change the input of another, and the error names the array and the line."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from scipy.sparse import csr_array

from tastemaker.errors import PluginError
from tastemaker.plugins import (
    Batch,
    Capabilities,
    Config,
    Events,
    FeatureTable,
    Feedback,
    Ranking,
    Recommender,
    TrainingData,
    safe_calls,
    select,
)
from tastemaker.plugins.checks import run_check
from tastemaker.plugins.checks.fitting import fit_leaves_its_input_alone
from tastemaker.plugins.checks.rankings import recommend_leaves_its_input_alone
from tastemaker.plugins.checks.subject import Subject, shop_feedback
from tastemaker.plugins.discovery import Plugin
from tastemaker.plugins.read_only import arrays_in, read_only_matrix

Act = Callable[[Any], object]


class Writer(Recommender[Config]):
    """Does to its input what a test wants of it."""

    name = "writer"
    reference = "none"
    config_type = Config
    capabilities = Capabilities(learns_online=True)
    state = ("scores",)

    act: Act = staticmethod(lambda given: None)

    def fit(self, data: TrainingData) -> Self:
        self.act(data)
        self.scores = np.zeros(data.n_items, np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        self.act(batch)
        return select(np.zeros((len(batch), batch.history.n_items), np.float32), batch, k)

    def update(self, feedback: Feedback) -> Self:
        self.act(feedback)
        return self

    def embed(self, batch: Batch) -> Any:
        self.act(batch)

    def contributions(self, batch: Batch, items: Any) -> FeatureTable | None:
        self.act(items)
        return None


def doing(act: Act) -> type[Writer]:
    return type("Writer", (Writer,), {"act": staticmethod(act)})


def plugin(act: Act) -> Plugin:
    return Plugin("writer", doing(act), "tests", "1", "test_read_only:Writer")


def data() -> TrainingData:
    """Of the checks' shop, with everything that training data may hold."""
    subject = Subject(Writer)
    made = replace(subject.data(), available=np.ones(30, np.bool_), feedback=shop_feedback())
    assert len(made.history.rows) == made.history.lengths.sum()  # both are cached from now on
    return made


def batch() -> Batch:
    """With everything that a batch may hold."""
    made = Subject(Writer).all_users()
    n = len(made)
    return replace(
        made,
        candidates=np.tile(np.arange(5, dtype=np.int32), (n, 1)),
        excluded=csr_array(np.eye(n, made.history.n_items, dtype=np.bool_)),
        available=np.ones(made.history.n_items, np.bool_),
        context=np.zeros((n, 2), np.float32),
        user_features=FeatureTable(("a",), np.zeros((n, 1), np.float32)),
        item_features=FeatureTable(("b",), np.zeros((made.history.n_items, 1), np.float32)),
    )


def centre(given: TrainingData) -> None:
    m = given.history.matrix()
    m.data -= m.data.mean()


def assign(given: TrainingData) -> None:
    given.events.rewards[given.events.rewards < 1] = 0


def drop_zeros(given: TrainingData) -> None:
    m = given.history.matrix(np.zeros(len(given.history.items), np.float32))
    m.eliminate_zeros()


def set_one(given: TrainingData) -> None:
    m = given.history.matrix()
    m[0, m.indices[0]] = 5


def sort_in_place(given: TrainingData) -> None:
    given.history.last_times.sort()


def to_out(given: TrainingData) -> None:
    times, weights = given.events.times, given.events.rewards
    np.multiply(
        weights,
        times,
        out=weights,
        casting="unsafe",
    )


def shuffle(given: TrainingData) -> None:
    given.rng.shuffle(given.events.items)


def of_feedback(given: TrainingData) -> None:
    assert given.feedback is not None
    given.feedback.rewards.fill(1)


def cached_rows(given: TrainingData) -> None:
    given.history.rows[0] = 3


def a_slice(given: TrainingData) -> None:
    given.before(given.end - 86_400).events.rewards[0] = 3


def some_rows(given: TrainingData) -> None:
    given.history[:3].counts[0] += 1


FITTING: dict[Act, str] = {
    centre: "m.data (data.history.rewards)",
    assign: "given.events.rewards (data.events.rewards)",
    drop_zeros: "m",
    set_one: "m",
    sort_in_place: "given.history.last_times (data.history.last_times)",
    to_out: "weights (data.events.rewards)",
    shuffle: "given.events.items (data.events.items)",
    of_feedback: "given.feedback.rewards (data.feedback.rewards)",
    cached_rows: "given.history.rows (data.history.rows)",
    a_slice: "an array that it was given",
    some_rows: "an array that it was given",
}


@pytest.mark.parametrize("act", FITTING, ids=lambda act: act.__name__)
def test_the_error_of_a_fit_that_writes_names_array_line_and_fix(act: Act) -> None:
    given = data()
    before = {name: array.copy() for name, array in arrays_in(given).items()}
    with pytest.raises(PluginError, match="model writer failed to fit: it writes to ") as error:
        safe_calls.fit(plugin(act), Config(), given)
    said = error.value.problem
    assert f"it writes to {FITTING[act]}" in said
    path, line = said.split(" (")[-1].split(": ")[0].split(", line ")
    first = inspect.getsourcelines(act)[1]
    assert path == __file__
    assert first < int(line) <= first + len(inspect.getsource(act).splitlines())
    assert ".copy()" in str(error.value.fix)
    for name, array in arrays_in(given).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


UNNOTICED: dict[str, Act] = {
    "ufunc.at": lambda given: np.add.at(given.history.rewards, [0, 1], 7),
    "setflags": lambda given: given.history.rewards.base.__setitem__(0, 77),
    "backwards": lambda given: np.add.at(given.feedback.rewards[::-1], [0], 7),
}


@pytest.mark.parametrize("how", UNNOTICED)
def test_writes_that_numpy_misses_are_undone_and_reported(how: str) -> None:
    given = data()
    before = {name: array.copy() for name, array in arrays_in(given).items()}
    with pytest.raises(PluginError, match=r"model writer wrote to (history|feedback)\.rewards in fit"):
        safe_calls.fit(plugin(UNNOTICED[how]), Config(), given)
    for name, array in arrays_in(given).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


ASKING: dict[str, tuple[Act, str]] = {
    "history": (lambda given: given.history.rewards.fill(0), "batch.history.rewards"),
    "users": (lambda given: given.users.fill(0), "batch.users"),
    "seeds": (lambda given: given.seeds.fill(0), "batch.seeds"),
    "candidates": (lambda given: given.candidates.fill(0), "batch.candidates"),
    "available": (lambda given: given.available.fill(0), "batch.available"),
    "context": (lambda given: given.context.fill(0), "batch.context"),
    "user features": (lambda given: given.user_features.values.fill(0), "batch.user_features.values"),
    "item features": (lambda given: given.item_features.values.fill(0), "batch.item_features.values"),
    "excluded data": (lambda given: given.excluded.data.fill(0), "batch.excluded.data"),
    "excluded indices": (lambda given: given.excluded.indices.fill(0), "batch.excluded.indices"),
    "excluded replaced": (lambda given: setattr(given.excluded, "data", np.zeros(3)), "given.excluded"),
    "excluded entry": (lambda given: given.excluded.__setitem__((0, 0), False), "given.excluded"),
}


@pytest.mark.parametrize("what", ASKING)
@pytest.mark.parametrize("ask", [safe_calls.recommend, safe_calls.top_k], ids=["recommend", "decide"])
def test_the_error_of_a_recommend_that_writes_names_the_array(what: str, ask: Callable[..., Ranking]) -> None:
    act, array = ASKING[what]
    with pytest.raises(PluginError, match="model writer failed to recommend: it writes to") as error:
        ask(doing(act)(), batch(), 3)
    assert array in error.value.problem


def test_inputs_of_embed_contributions_and_update_are_read_only() -> None:
    model = doing(lambda given: (given if isinstance(given, np.ndarray) else given.users).fill(0))()
    items = np.arange(2, dtype=np.int32)
    for call in (
        lambda: safe_calls.embed(model, batch()),
        lambda: safe_calls.update(model, shop_feedback()),
        lambda: safe_calls.contributions(model, batch(), items),
    ):
        with pytest.raises(PluginError, match="which is read-only"):
            call()


def test_every_input_array_is_read_only() -> None:
    for given in (data(), batch(), batch()[2:5], data().before(2**40), shop_feedback()[3:]):
        found = arrays_in(given)
        assert len(found) > 5
        assert [name for name, array in found.items() if array.flags.writeable] == []


def test_a_copy_is_writable_and_shares_no_memory() -> None:
    given = batch()
    assert given.excluded is not None
    for matrix in (given.history.matrix(), given.excluded):
        before, copy = matrix.toarray(), matrix.copy()
        copy.data[:] = 0
        copy.eliminate_zeros()
        assert copy.nnz == 0
        np.testing.assert_array_equal(matrix.toarray(), before)


def test_a_read_only_matrix_computes_as_any_other() -> None:
    made = csr_array(np.arange(12, dtype=np.float32).reshape(3, 4))
    fixed = read_only_matrix(made)
    computations: tuple[Callable[[Any], Any], ...] = (
        lambda m: m.T @ m,
        lambda m: m[[2, 0]],
        lambda m: m.multiply(2),
        lambda m: m + m,
        lambda m: m.astype(np.int64),
        lambda m: pickle.loads(pickle.dumps(m)),  # noqa: S301 - just made here
    )
    for compute in computations:
        np.testing.assert_array_equal(compute(fixed).toarray(), compute(made).toarray())
    assert read_only_matrix(fixed) is fixed


def test_reading_does_not_copy_arrays() -> None:
    rewards = np.ones(3, np.float32)
    events = Events(np.zeros(3, np.int32), np.arange(3, dtype=np.int32), rewards, np.arange(3))
    assert np.shares_memory(events.rewards, rewards)
    assert np.shares_memory(replace(events).rewards, rewards)
    assert rewards.flags.writeable


@pytest.mark.parametrize("check", [fit_leaves_its_input_alone, recommend_leaves_its_input_alone])
def test_checks_report_it_in_the_same_words(check: Any) -> None:
    verdict = run_check(check, Subject(doing(lambda given: given.history.rewards.fill(0))))
    assert verdict.verdict == "failed"
    assert "it writes to given.history.rewards, which is read-only" in verdict.detail
    assert Path(__file__).name in verdict.detail
    assert ".copy()" in verdict.detail
