"""What a notebook passes: ids, lengths, tables and settings that are taken, and those that are refused."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from support.notebook_purchases import N_ITEMS, N_USERS, purchases
from tastemaker.errors import GateError, TastemakerError
from tastemaker.notebook.evaluate import compare
from tastemaker.notebook.fit import SplitParts, fit, split
from tastemaker.notebook.load import load
from tastemaker.plugins import Batch, Recommender, TrainingData, select


@pytest.fixture(scope="module")
def parts() -> SplitParts:
    return split(load(purchases()), test_days=10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"items": ["a"]}, "items are a list, must be a table or a path"),
        ({"users": 3}, "users are a int, must be a table or a path"),
        ({"columns": "user_id"}, "columns is 'user_id', must be a mapping"),
        ({"problem": {"name": "shop"}}, "problem is a dict, must be a ProblemSpec or the path"),
    ],
)
def test_load_says_what_it_can_t_take(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TastemakerError, match=said):
        load(purchases(), **given)


@pytest.mark.slow
def test_columns_may_be_numbers() -> None:
    frame = purchases().set_axis(range(3), axis=1)
    found = load(frame, columns={"user_id": 0, "item_id": 1, "occurred_at": 2})
    assert found.dataset.data_hash == load(purchases()).dataset.data_hash


@pytest.mark.parametrize(
    "user_id", [7, np.int64(7), np.uint8(7), pd.Series([7]).iloc[0], 7.0, np.float32(7), "7", "7.0", " 7 "]
)
def test_whole_numbers_are_ids(user_id: Any, parts: SplitParts) -> None:
    class Own(Recommender[Any]):
        name = "own"
        state: ClassVar[tuple[str, ...]] = ("scores",)

        def fit(self, data: TrainingData) -> Any:
            self.scores = np.arange(N_ITEMS, dtype=np.float32) / 1e4
            return self

        def recommend(self, batch: Batch, k: int) -> Any:
            return select(batch.history.matrix().toarray() + self.scores, batch, k)

    model = fit(Own, parts)
    assert model.recommend(user_id) == model.recommend("7") != model.recommend("8")


@pytest.mark.parametrize(
    ("user_id", "fix"),
    [
        (None, "17850"), (7.5, "17850"), (float("nan"), "17850"), (True, "17850"), (b"7", "17850"),
        ("", "17850"),
        (pd.NA, "17850"), (uuid.UUID(int=7), "17850"), ([1, 2], "for user in users"),
        (np.array([1, 2]), "for user in users"), (pd.Series([1, 2]), "for user in users"),
    ],
)  # fmt: skip
def test_what_can_be_no_id_is_refused(user_id: Any, fix: str, parts: SplitParts) -> None:
    with pytest.raises(TastemakerError, match=r"user_id is .*, must be text or a whole number") as raised:
        fit("popularity", parts).recommend(user_id)
    assert fix in str(raised.value.fix)


@pytest.mark.slow
def test_ids_that_are_text_are_not_touched_where_they_are_known() -> None:
    frame = purchases().assign(user_id=lambda table: table["user_id"].astype(str) + ".0")
    model = fit("item_knn", split(load(frame, ids="text"), test_days=10))
    assert model.parts.split.snapshot.user_ids.lookup(["7.0"])[0] >= 0
    assert model.recommend("7.0") != model.recommend("7") == model.recommend("an unknown user")


def test_an_unknown_user_gets_the_list_of_a_user_without_history(parts: SplitParts) -> None:
    model = fit("popularity", parts)
    assert model.recommend("unknown", 3) == model.recommend(10**9, 3) == ["0", "1", "2"]


@pytest.mark.parametrize("k", [0, -1, 2.5, "ten", True, np.int64(-3)])
def test_a_length_that_can_be_none_is_refused(k: Any, parts: SplitParts) -> None:
    with pytest.raises(TastemakerError, match=r"k is .*, must be a whole number, at least 1"):
        fit("popularity", parts).recommend("1", k)


@pytest.mark.parametrize("k", [N_ITEMS, N_ITEMS + 1, np.int64(1000)])
def test_a_list_is_no_longer_than_the_catalogue(k: int, parts: SplitParts) -> None:
    assert sorted(fit("popularity", parts).recommend("1", k), key=int) == [str(n) for n in range(N_ITEMS)]


@pytest.mark.slow
def test_split_takes_repeats() -> None:
    data = load(purchases())
    allowed, new_only = split(data, test_days=10, repeats=True), split(data, test_days=10, repeats=False)
    assert (allowed.problem.candidates.repeats, new_only.problem.candidates.repeats) == (True, False)
    assert split(data, test_days=10).problem == allowed.problem
    users = new_only.split.snapshot.user_ids
    for user in range(N_USERS):
        number = users.lookup([str(user)])[0]
        had = new_only.split.snapshot.history[np.array([number])].items
        had_ids = set(new_only.split.snapshot.item_ids.decode(had))
        assert not had_ids & set(fit("popularity", new_only).recommend(user, N_ITEMS))
    assert set(fit("popularity", allowed).recommend(0, N_ITEMS)) == {str(n) for n in range(N_ITEMS)}
    assert data.dataset.problem.candidates.repeats  # what was loaded stays as it was
    for wrong in ("no", 0, 1):
        with pytest.raises(TastemakerError, match=r"repeats is .*, must be True or False"):
            split(data, repeats=wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_models_fitted_with_and_without_repeats_are_not_compared() -> None:
    data = load(purchases())
    both = [fit("popularity", split(data, test_days=10, repeats=one)) for one in (True, False)]
    with pytest.raises(TastemakerError, match="different splits"):
        compare(*both)


def test_tables_that_hold_nothing_or_a_column_twice_are_refused() -> None:
    with pytest.raises(GateError, match="the table events is empty"):
        load(purchases(0))
    twice = pd.concat([purchases(), purchases()["user_id"]], axis=1)
    with pytest.raises(TastemakerError, match=r"has two columns user_id") as raised:
        load(twice)
    assert "rename" in str(raised.value.fix)


@pytest.mark.slow
def test_a_user_listed_twice_is_kept_once_and_reported() -> None:
    people = pd.DataFrame({"user_id": [1, 1, 2], "country": ["NL", "DE", "NL"]})
    found = load(purchases(), users=people)
    assert len(found.dataset.user_ids) == N_USERS
