"""Checks of `recommend`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from tastemaker.plugins.arrays import NO_ITEM, Batch, Bool, History, Ranking
from tastemaker.plugins.checks.compare import copies, require_same, require_untouched
from tastemaker.plugins.checks.subject import COLD_ITEM, N_ITEMS, SILENT_USER, Check, CheckFailed, Subject
from tastemaker.plugins.selection import forbid

K = 5


def recommend_leaves_its_input_alone(subject: Subject) -> None:
    """Check that `recommend` does not write to its input."""
    batch = _restricted(subject)
    before = copies(batch)
    subject.model.recommend(batch, K)
    require_untouched(batch, before, "recommend")


def recommend_is_pure(subject: Subject) -> None:
    """Check that the same batch gets the same lists again.

    `recommend` changes no state and draws no hidden random number.
    """
    batch = subject.all_users()
    require_same(subject.model.recommend(batch, K), subject.model.recommend(batch, K), "the same batch again")


def batch_is_one_by_one(subject: Subject) -> None:
    """Check that a row alone gets the list that it gets in a batch."""
    batch = _restricted(subject)
    alone = [subject.model.recommend(batch[np.asarray([row])], K) for row in range(len(batch))]
    joined = Ranking(
        np.concatenate([one.items for one in alone]),
        np.concatenate([one.scores for one in alone]),
        np.concatenate([one.propensities for one in alone]),
    )
    require_same(subject.model.recommend(batch, K), joined, "a batch and its rows alone")


def empty_batches_are_answered(subject: Subject) -> None:
    """Check that a batch of no rows gets a ranking of no rows."""
    none = subject.all_users()[:0]
    _require_full(subject.model.recommend(none, K), none, K)


def unknown_users_are_answered(subject: Subject) -> None:
    """Check that an unknown user gets a full list, with a history and without one."""
    batch = subject.batch(subject.data(), [-1, -1], [0, -1])
    _require_full(subject.model.recommend(batch, K), batch, K)


def empty_histories_are_answered(subject: Subject) -> None:
    """Check that a known user without events, or whose history was deleted, gets a full list."""
    batch = subject.batch(subject.data(), [SILENT_USER, 0], [SILENT_USER, -1])
    _require_full(subject.model.recommend(batch, K), batch, K)


def unknown_items_are_answered(subject: Subject) -> None:
    """Check that an item without events may be in a history and among the candidates."""
    data = subject.data()
    batch = subject.batch(data, [0, -1])
    past = History(
        offsets=np.arange(3, dtype=np.int64),
        items=np.full(2, COLD_ITEM, np.int32),
        rewards=np.ones(2, np.float32),
        counts=np.ones(2, np.int32),
        last_times=np.full(2, data.end, np.int64),
        n_items=N_ITEMS,
    )
    batch = replace(batch, history=past)
    _require_full(subject.model.recommend(batch, K), batch, K)
    batch = replace(batch, candidates=np.full((2, 1), COLD_ITEM, np.int32))
    _require_full(subject.model.recommend(batch, K), batch, K)


def excluded_items_are_never_returned(subject: Subject) -> None:
    """Check that an item that the batch excludes for a row is not in that row's list."""
    all_users = subject.all_users()
    batch = replace(all_users, excluded=_had(all_users))
    _require_full(subject.model.recommend(batch, N_ITEMS), batch, N_ITEMS)


def candidates_are_respected(subject: Subject) -> None:
    """Check that a list holds candidates only, each once even if listed twice; none without candidates."""
    batch = subject.all_users()
    candidates = np.random.default_rng(3).integers(0, N_ITEMS, (len(batch), 8)).astype(np.int32)
    candidates[:, -2:] = NO_ITEM
    candidates[0] = NO_ITEM
    batch = replace(batch, candidates=candidates)
    _require_full(subject.model.recommend(batch, K), batch, K)


def unavailable_items_are_never_returned(subject: Subject) -> None:
    """Check that an item that is not available is in no list."""
    batch = replace(subject.all_users(), available=np.arange(N_ITEMS) % 3 == 0)
    _require_full(subject.model.recommend(batch, N_ITEMS), batch, N_ITEMS)


def k_may_exceed_the_catalogue(subject: Subject) -> None:
    """Check that a list longer than the catalogue has every item, then padding."""
    batch = subject.all_users()
    _require_full(subject.model.recommend(batch, N_ITEMS + 5), batch, N_ITEMS + 5)


def items_are_distinct(subject: Subject) -> None:
    """Check that no item is in a list twice."""
    items = subject.model.recommend(subject.all_users(), N_ITEMS).items
    for row, answer in enumerate(items):
        answered = answer[answer != NO_ITEM]
        if len(np.unique(answered)) < len(answered):
            raise CheckFailed(f"row {row} has an item twice: {answered.tolist()}")


def scores_descend_and_are_finite(subject: Subject) -> None:
    """Check that scores are finite and descending, and that padding has -inf."""
    for batch in (subject.all_users(), _restricted(subject)):
        _, scores, _ = ranking = subject.model.recommend(batch, N_ITEMS + 1)
        answered = ranking.items != NO_ITEM
        if not np.isfinite(scores[answered]).all():
            raise CheckFailed("the score of an item is not finite")
        if not (scores[~answered] == -np.inf).all():
            raise CheckFailed("the score of padding is not -inf")
        if (scores[:, 1:] > scores[:, :-1]).any():
            row = int(np.nonzero((scores[:, 1:] > scores[:, :-1]).any(axis=1))[0][0])
            raise CheckFailed(f"the scores of row {row} do not descend: {scores[row].tolist()}")


CHECKS: tuple[Check, ...] = (
    recommend_leaves_its_input_alone,
    recommend_is_pure,
    batch_is_one_by_one,
    empty_batches_are_answered,
    unknown_users_are_answered,
    empty_histories_are_answered,
    unknown_items_are_answered,
    excluded_items_are_never_returned,
    candidates_are_respected,
    unavailable_items_are_never_returned,
    k_may_exceed_the_catalogue,
    items_are_distinct,
    scores_descend_and_are_finite,
)


def _had(batch: Batch) -> csr_array:
    """Return the items of each row's history, as exclusions."""
    return batch.history.matrix(np.ones(len(batch.history.items), np.bool_))


def _restricted(subject: Subject) -> Batch:
    """Return all users with candidates and exclusions of their own, and some items unavailable."""
    batch = subject.all_users()
    candidates = np.random.default_rng(4).integers(0, N_ITEMS, (len(batch), 12)).astype(np.int32)
    return replace(batch, candidates=candidates, excluded=_had(batch), available=np.arange(N_ITEMS) != 3)


def _require_full(ranking: Ranking, batch: Batch, k: int) -> None:
    """Raise CheckFailed unless each row has only allowed items, and as many as there are, up to k."""
    if ranking.items.shape != (len(batch), k):
        raise CheckFailed(f"the lists have shape {ranking.items.shape}, expected {(len(batch), k)}")
    allowed = _allowed(batch)
    for row, answer in enumerate(ranking.items):
        answered = answer[answer != NO_ITEM]
        wrong = answered[~allowed[row, answered]]
        if len(wrong):
            raise CheckFailed(f"row {row} has items that are not allowed: {wrong.tolist()}")
        expected = min(k, int(allowed[row].sum()))
        if len(answered) != expected:
            raise CheckFailed(f"row {row} has {len(answered)} items, expected {expected}")


def _allowed(batch: Batch) -> Bool:
    scores = np.zeros((len(batch), batch.history.n_items), np.float32)
    forbid(scores, batch)
    return np.isfinite(scores)
