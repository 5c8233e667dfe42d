"""Each model against its equation, written out slowly, or against implicit's own answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tastemaker.errors import PluginError
from tastemaker.plugins import Batch, Events, History, Ranking, TrainingData
from tastemaker_collaborative.bpr import BPR, BPRConfig
from tastemaker_collaborative.ease import EASE, EASEConfig
from tastemaker_collaborative.ials import IALS, IALSConfig, user_vectors
from tastemaker_collaborative.interactions import interactions
from tastemaker_collaborative.item_knn import ItemKNN, ItemKNNConfig

N_USERS, N_ITEMS = 60, 25
Matrix = NDArray[np.float64]


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Two tastes: even users mostly have even items."""
    rng = np.random.default_rng(3)
    users = rng.integers(0, N_USERS, 900)
    items = rng.integers(0, N_ITEMS, 900)
    kept = (users % 2 == items % 2) | (rng.random(900) < 0.2)
    n = int(kept.sum())
    return TrainingData(
        Events(
            users[kept].astype(np.int32),
            items[kept].astype(np.int32),
            np.ones(n, np.float32),
            np.arange(n, dtype=np.int64),
        ),
        N_USERS,
        N_ITEMS,
        end=n,
        rng=np.random.default_rng(0),
    )


def all_users(data: TrainingData) -> Batch:
    users = np.arange(N_USERS, dtype=np.int32)
    return Batch(users, data.history, users.astype(np.uint64), now=data.end)


def dense(data: TrainingData, weights: str) -> Matrix:
    counts = data.history.matrix(data.history.counts.astype(np.float64)).toarray()
    if weights == "one":
        return (counts > 0).astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.where(counts > 0, 1 + np.log(counts), 0)


@pytest.fixture(scope="module")
def mixed(data: TrainingData) -> TrainingData:
    """The same events, liked, disliked or neither; item 24 is disliked by whoever has it."""
    rewards = np.random.default_rng(4).choice(
        [-2, -0.5, 0, 1, 3], data.events.count, p=[0.2, 0.1, 0.1, 0.4, 0.2]
    )
    rewards[data.events.items == BAD] = -1
    return replace(data, events=replace(data.events, rewards=rewards.astype(np.float32)))


BAD = 24


def signed(data: TrainingData, weights: str) -> Matrix:
    """X by its definition."""
    rewards = data.history.matrix().toarray()
    votes = np.where(rewards > 0, 1, np.maximum(rewards, -1))
    return np.asarray(votes * dense(data, weights), np.float64)


def require_scores(ranking: Ranking, expected: Matrix) -> None:
    """Every item's score is the expected one, and nothing is missing."""
    rows = np.arange(len(expected))[:, None]
    np.testing.assert_allclose(ranking.scores, expected[rows, ranking.items], rtol=1e-3, atol=1e-4)
    assert (np.sort(ranking.items, axis=1) == np.arange(N_ITEMS)).all()


@pytest.mark.parametrize("weights", ["one", "log"])
def test_ease_is_the_inverse_gram_matrix(data: TrainingData, weights: str) -> None:
    x = dense(data, weights)
    p = np.linalg.inv(x.T @ x + 5 * np.eye(N_ITEMS))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    model = EASE(EASEConfig(regularization=5, weights=weights)).fit(data)
    require_scores(model.recommend(all_users(data), N_ITEMS), x @ b)


def test_ease_solves_its_optimization(data: TrainingData) -> None:
    """Column j of B is the ridge regression of item j on all the others."""
    x = dense(data, "one")
    model = EASE(EASEConfig(regularization=5, weights="one")).fit(data)
    for j in (0, 7):
        others = np.delete(np.arange(N_ITEMS), j)
        gram = x[:, others].T @ x[:, others] + 5 * np.eye(N_ITEMS - 1)
        regression = np.linalg.solve(gram, x[:, others].T @ x[:, j])
        assert model.weights[others, j] == pytest.approx(regression, abs=1e-5)
        assert model.weights[j, j] == 0


def test_ease_refuses_a_catalogue_above_max_items(data: TrainingData) -> None:
    with pytest.raises(PluginError, match="has 25 items, max_items is 24") as refusal:
        EASE(EASEConfig(max_items=24)).fit(data)
    assert "raise max_items" in str(refusal.value)


@pytest.mark.parametrize("neighbours", [3, 100])
def test_item_knn_is_shrunk_cosine(data: TrainingData, neighbours: int) -> None:
    x = dense(data, "one")
    w = np.zeros((N_ITEMS, N_ITEMS))
    for i in range(N_ITEMS):
        similar = {}
        for j in set(range(N_ITEMS)) - {i}:
            similar[j] = x[:, j] @ x[:, i] / (np.linalg.norm(x[:, j]) * np.linalg.norm(x[:, i]) + 2)
        for j in sorted(similar, key=lambda j: (-round(float(similar[j]), 6), j))[:neighbours]:
            w[j, i] = similar[j]
    users = x.sum(axis=0)
    expected = np.where(x @ w > 0, x @ w, users / (1 + users.max()) - 1)
    model = ItemKNN(ItemKNNConfig(neighbours=neighbours, shrinkage=2, weights="one")).fit(data)
    require_scores(model.recommend(all_users(data), N_ITEMS), expected)


@pytest.mark.parametrize("with_dislikes", [False, True])
def test_ials_vector_is_the_least_squares_solution(
    data: TrainingData, mixed: TrainingData, with_dislikes: bool
) -> None:
    """The normal equations of Hu et al. with C and P written out as full matrices."""
    data = mixed if with_dislikes else data
    config = IALSConfig(embedding_size=6, regularization=0.7, confidence=3, weights="log")
    model = IALS(config).fit(data)
    y = model.item_vectors[:, :-1].astype(np.float64)
    r = signed(data, "log")
    matrix = interactions(data.history, N_ITEMS, "log")
    for user in (0, 13):
        c = np.diag(1 + 3 * np.abs(r[user]))
        expected = np.linalg.solve(y.T @ c @ y + 0.7 * np.eye(6), y.T @ c @ (r[user] > 0))
        found = user_vectors(matrix, model.item_vectors[:, :-1], model.gram, config)[user]
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_ials_recommends_as_implicit_does(data: TrainingData) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    config = IALSConfig(embedding_size=6, regularization=0.7, confidence=3, epochs=5, weights="one")
    model = IALS(config).fit(replace(data, rng=np.random.default_rng(0)))
    confidence = csr_matrix(4 * dense(data, "one").astype(np.float32))
    with threadpool_limits(1, "blas"):
        seed = int(np.random.default_rng(0).integers(2**31))
        oracle = AlternatingLeastSquares(factors=6, regularization=0.7, iterations=5, random_state=seed)
        oracle.fit(confidence, show_progress=False)
        items, scores = oracle.recommend(
            np.arange(N_USERS), confidence, N=N_ITEMS, filter_already_liked_items=False, recalculate_user=True
        )
    ranking = model.recommend(all_users(data), N_ITEMS)
    np.testing.assert_allclose(ranking.scores, scores, rtol=1e-3, atol=1e-4)
    assert (ranking.items == items).mean() > 0.99


def test_bpr_scores_items_of_the_history_above_others(data: TrainingData) -> None:
    """The area under the ROC curve, which BPR maximizes, on what it was fitted to."""
    model = BPR(BPRConfig(embedding_size=8, epochs=200)).fit(data)
    x = dense(data, "one") > 0
    scores = np.empty(x.shape)
    ranking = model.recommend(all_users(data), N_ITEMS)
    np.put_along_axis(scores, ranking.items.astype(np.int64), ranking.scores, axis=1)
    wins = [
        (scores[u][x[u]][:, None] > scores[u][~x[u]]).mean()
        for u in range(N_USERS)
        if 0 < x[u].sum() < N_ITEMS
    ]
    assert np.mean(wins) > 0.85


def test_bpr_gives_an_unknown_user_a_vector_near_similar_users(data: TrainingData) -> None:
    """An unknown user with an even user's past is offered even items."""
    model = BPR(BPRConfig(embedding_size=8, epochs=200)).fit(data)
    batch = replace(all_users(data), users=np.full(N_USERS, -1, np.int32))
    top = model.recommend(batch, 3).items
    share = (top % 2 == np.arange(N_USERS)[:, None] % 2).mean()
    assert share > 0.8


@pytest.mark.parametrize("recommender", [BPR, EASE, IALS, ItemKNN])
def test_users_without_history_get_popular_items(
    data: TrainingData, recommender: type[BPR | EASE | IALS | ItemKNN]
) -> None:
    users = np.bincount(data.history.items, minlength=N_ITEMS)
    expected = np.lexsort((np.arange(N_ITEMS), -users))
    unknown = Batch(np.array([-1], np.int32), History.empty(1, N_ITEMS), np.zeros(1, np.uint64), now=data.end)
    ranking = recommender().fit(data).recommend(unknown, N_ITEMS)
    assert ranking.items[0].tolist() == expected.tolist()


def test_ease_predicts_dislikes_from_likes(mixed: TrainingData) -> None:
    """Column j of B is the ridge regression of item j, below 0 where disliked, on all others' likes."""
    x = signed(mixed, "one")
    liked = np.maximum(x, 0)
    model = EASE(EASEConfig(regularization=5, weights="one")).fit(mixed)
    for j in range(N_ITEMS):
        others = np.delete(np.arange(N_ITEMS), j)
        gram = liked[:, others].T @ liked[:, others] + 5 * np.eye(N_ITEMS - 1)
        regression = np.linalg.solve(gram, liked[:, others].T @ x[:, j])
        assert model.weights[others, j] == pytest.approx(regression, abs=1e-5)
        assert model.weights[j, j] == 0


def test_item_knn_with_dislikes_by_its_equation(mixed: TrainingData) -> None:
    x = signed(mixed, "log")
    liked, had = np.maximum(x, 0), dense(mixed, "log")
    norms = np.linalg.norm(had, axis=0)
    w = liked.T @ x / (np.outer(norms, norms) + 2)
    np.fill_diagonal(w, 0)
    model = ItemKNN(ItemKNNConfig(shrinkage=2, weights="log")).fit(mixed)
    products = x @ np.maximum(w, 0)
    rest = model.popularity / (1 + model.popularity.max()) - 1
    require_scores(model.recommend(all_users(mixed), N_ITEMS), np.where(products > 1e-7, products, rest))


def test_bpr_lowers_an_item_by_the_share_that_dislikes_it(mixed: TrainingData) -> None:
    """Against the same fit on the likes alone."""
    rewards = np.maximum(mixed.history.rewards, 0)[mixed.history.rewards > 0]
    kept = mixed.history.rewards > 0
    only = Events(
        mixed.history.rows[kept].astype(np.int32),
        mixed.history.items[kept],
        rewards,
        np.arange(int(kept.sum()), dtype=np.int64),
    )
    config = BPRConfig(embedding_size=4, epochs=5)
    model = BPR(config).fit(replace(mixed, rng=np.random.default_rng(1)))
    plain = BPR(config).fit(replace(mixed, events=only, rng=np.random.default_rng(1)))
    x = signed(mixed, "one")
    share = (np.maximum(x, 0).sum(axis=0) + 1) / (np.abs(x).sum(axis=0) + 1)
    good = np.arange(N_ITEMS) != BAD
    np.testing.assert_array_equal(model.item_vectors[good, :-1], plain.item_vectors[good, :-1])
    sunk = plain.item_vectors[good, -1] + np.log(share[good])
    np.testing.assert_allclose(model.item_vectors[good, -1], sunk, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recommender", [BPR, EASE, IALS, ItemKNN])
def test_items_that_are_only_disliked_rank_last(
    mixed: TrainingData, recommender: type[BPR | EASE | IALS | ItemKNN]
) -> None:
    model = recommender().fit(mixed)
    for users in (np.arange(N_USERS, dtype=np.int32), np.full(N_USERS, -1, np.int32)):
        batch = replace(all_users(mixed), users=users)
        assert (model.recommend(batch, N_ITEMS).items[:, -1] == BAD).all()
    unknown = replace(batch, history=History.empty(N_USERS, N_ITEMS))
    assert (model.recommend(unknown, N_ITEMS).items[:, -1] == BAD).all()


@pytest.mark.parametrize("recommender", [BPR, EASE, IALS, ItemKNN])
def test_fit_works_with_returned_purchases_only(
    data: TrainingData, recommender: type[BPR | EASE | IALS | ItemKNN]
) -> None:
    """Without likes, negative rewards rank items by popularity."""
    events = replace(data.events, rewards=-data.events.rewards)
    refunds = replace(data, events=events)
    ranking = recommender().fit(refunds).recommend(all_users(refunds), N_ITEMS)
    returned = -refunds.history.rewards
    worth = np.bincount(refunds.history.items, returned, N_ITEMS)
    expected = np.lexsort((np.arange(N_ITEMS), worth))
    assert ranking.items.tolist() == [expected.tolist()] * N_USERS


@pytest.mark.slow
@pytest.mark.parametrize("recommender", [BPR, EASE, IALS, ItemKNN])
def test_only_the_latest_items_of_a_user_above_the_cap_count(
    mixed: TrainingData, recommender: type[BPR | EASE | IALS | ItemKNN]
) -> None:
    """The same model, and the same answers, as if older pairs had never been: but for popularity."""
    most = 6
    history = mixed.history
    kept = np.zeros(len(history.items), np.bool_)
    for row in range(N_USERS):
        own = np.arange(history.offsets[row], history.offsets[row + 1])
        kept[sorted(own, key=lambda at: (-history.last_times[at], history.items[at]))[:most]] = True
    assert not kept.all()
    pairs = {(int(u), int(i)) for u, i in zip(history.rows[kept], history.items[kept], strict=True)}
    events = mixed.events
    late = np.array([(int(u), int(i)) in pairs for u, i in zip(events.users, events.items, strict=True)])
    short = replace(mixed, events=events[late])
    capped = recommender(max_user_items=most).fit(replace(mixed, rng=np.random.default_rng(1)))
    plain = recommender().fit(replace(short, rng=np.random.default_rng(1)))
    popularity = "popularity"
    for name in set(recommender.state) - {popularity, "last"}:
        one, other = getattr(capped, name), getattr(plain, name)
        as_array = [part.toarray() if hasattr(part, "toarray") else part for part in (one, other)]
        if name == "item_vectors":  # items that no user likes are ranked last by the whole history
            alike = (as_array[0][:, -1] > -99) & (as_array[1][:, -1] > -99)
            as_array = [part[alike] for part in as_array]
        np.testing.assert_allclose(as_array[0], as_array[1], rtol=1e-4, atol=1e-5, err_msg=name)
    asked, answered = all_users(mixed), all_users(short)
    np.testing.assert_array_equal(
        capped.recommend(asked, 5).items, capped.recommend(replace(answered, now=asked.now), 5).items
    )
