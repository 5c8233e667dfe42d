"""The index of a large catalogue: what it misses, what filters leave, and what a broken file says."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from scipy.sparse import csr_array

from support import served_homes
from support.online_retail import purchases
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import ArtifactError
from tastemaker.plugins import (
    NO_ITEM,
    Batch,
    Capabilities,
    Config,
    History,
    Ranking,
    Recommender,
    discovery,
    select,
)
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.training_data import TrainingData
from tastemaker.registry import Registry
from tastemaker.registry.artifact import export_version, load_version
from tastemaker.serving.build.precompute import precomputing
from tastemaker.serving.ranking import ann_index
from tastemaker.serving.ranking.ann_index import (
    FILE_NAME,
    NEVER,
    TURN,
    Nearest,
    balance,
    build,
    open_retriever,
)
from tastemaker.serving_settings import RetrievalSettings
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine

N_ITEMS, SIZE, N_USERS, K = 3_000, 16, 50, 10


class _None(Config):
    """No hyperparameters."""


class Vectors(Recommender[_None]):
    """s_ui = x_u · y_i, with vectors given; user -1 has none and gets items in their order."""

    name, reference, config_type = "vectors", "none", _None
    capabilities = Capabilities(personalizes=True, embeds=True)
    user_vectors: Float32
    asked = 0

    def fit(self, data: TrainingData) -> Self:
        return self

    def embed(self, batch: Batch) -> Float32:
        vectors: Float32 = self.user_vectors[np.maximum(batch.users, 0)].copy()
        vectors[batch.users < 0] = np.nan
        return vectors

    def recommend(self, batch: Batch, k: int) -> Ranking:
        self.asked += len(batch)
        scores = self.user_vectors[np.maximum(batch.users, 0)] @ self.item_vectors.T
        scores[batch.users < 0] = -np.arange(len(self.item_vectors))
        return select(scores.astype(np.float32), batch, k)


def model(n_items: int = N_ITEMS) -> Vectors:
    """Clustered items of unequal length, and users near the clusters."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(30, SIZE))
    made = Vectors()
    items = centres[rng.integers(0, 30, n_items)] + 0.5 * rng.normal(size=(n_items, SIZE))
    made.item_vectors = (items * rng.lognormal(0, 0.4, (n_items, 1))).astype(np.float32)
    users = centres[rng.integers(0, 30, N_USERS)] + 0.5 * rng.normal(size=(N_USERS, SIZE))
    made.user_vectors = users.astype(np.float32)
    return made


def batch(users: Any = range(N_USERS), **more: Any) -> Batch:
    rows = np.asarray(users, np.int32)
    history = History.empty(len(rows), N_ITEMS)
    return replace(Batch(rows, history, np.zeros(len(rows), np.uint64), now=0), **more)


def indexed(made: Vectors, folder: Path, available: Any = None) -> Nearest:
    build(folder, made.item_vectors, made.user_vectors[::2], available)
    return Nearest(made, folder, exact_from=NEVER)


def excluding(rows: dict[int, Any]) -> csr_array:
    dense = np.zeros((N_USERS, N_ITEMS), np.bool_)
    for row, items in rows.items():
        dense[row, items] = True
    return csr_array(dense)


def test_nearly_all_of_the_best_are_found_at_the_models_own_scores(tmp_path: Path) -> None:
    made = model()
    found, exact = indexed(made, tmp_path).recommend(batch(), K), made.recommend(batch(), K)
    common = [len(set(a) & set(b)) for a, b in zip(found.items.tolist(), exact.items.tolist(), strict=True)]
    assert sum(common) >= 0.97 * N_USERS * K
    products = np.einsum("nd,nkd->nk", made.user_vectors, made.item_vectors[found.items])
    np.testing.assert_allclose(found.scores, products, rtol=1e-5)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert (found.propensities == 1).all()


def test_large_batches_are_scored_exactly(tmp_path: Path) -> None:
    """From `exact_from` rows on the model ranks them; below, the index does."""
    made = model()
    build(tmp_path, made.item_vectors, made.user_vectors[::2], None)
    near = Nearest(made, tmp_path, exact_from=8)
    near.recommend(batch(range(7)), K)
    assert made.asked == 0
    found = near.recommend(batch(range(8)), K)
    assert made.asked == 8
    np.testing.assert_array_equal(found.items, made.recommend(batch(range(8)), K).items)


@pytest.mark.parametrize(("seconds", "rows"), [(0.5, 1), (12.0, 8), (96.0, 64), (97.0, NEVER)])
def test_exact_scoring_begins_where_it_takes_no_longer_than_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, rows: int
) -> None:
    """A search takes a second, and counts one and a half; any batch scored exactly takes as long as given."""
    monkeypatch.setattr(
        ann_index, "_seconds", lambda call: 1.0 if call.func.__name__ == "nearest" else seconds
    )
    made = model()
    build(tmp_path, made.item_vectors, made.user_vectors[::2], None)
    assert Nearest(made, tmp_path).exact_from == rows


def test_the_measured_batch_size_is_one_that_was_timed(tmp_path: Path) -> None:
    made = model()
    build(tmp_path, made.item_vectors, made.user_vectors[::2], None)
    assert Nearest(made, tmp_path).exact_from in (1, 2, 4, 8, 16, 32, 64, NEVER)


@pytest.mark.slow
def test_the_same_vectors_give_the_same_file(tmp_path: Path) -> None:
    made = model()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        build(folder, made.item_vectors, made.user_vectors, None)
    for name in (FILE_NAME, TURN):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_users_and_items_are_turned_to_the_same_second_moments() -> None:
    rng = np.random.default_rng(2)
    users = rng.normal(size=(500, 6)) * [9, 1, 1, 0.1, 3, 1] @ rng.normal(size=(6, 6))
    items = rng.normal(size=(900, 6)) * [0.1, 1, 5, 2, 1, 1] @ rng.normal(size=(6, 6))
    turn = balance(users, items)
    turned_users, turned_items = users @ turn, np.linalg.solve(turn, items.T).T
    np.testing.assert_allclose(turned_users @ turned_items.T, users @ items.T, rtol=1e-6, atol=1e-6)
    one, other = (each.T @ each / len(each) for each in (turned_users, turned_items))
    assert np.abs(one - other).max() < 0.02 * np.abs(one).max()
    for none in (np.empty((0, 6)), np.zeros((3, 6))):
        np.testing.assert_array_equal(balance(none, items), np.eye(6))


def test_queries_that_point_elsewhere_than_the_items_are_answered_well(tmp_path: Path) -> None:
    """The same products, but the users' vectors are large where the items' are small, as those of iALS."""
    made = model()
    stretch = np.geomspace(0.1, 10, SIZE).astype(np.float32)
    made.item_vectors, made.user_vectors = made.item_vectors * stretch, made.user_vectors / stretch
    found, exact = indexed(made, tmp_path).recommend(batch(), K), made.recommend(batch(), K)
    common = [len(set(a) & set(b)) for a, b in zip(found.items.tolist(), exact.items.tolist(), strict=True)]
    assert sum(common) >= 0.97 * N_USERS * K


def test_what_may_not_be_shown_is_not(tmp_path: Path) -> None:
    made = model()
    best = made.recommend(batch(), 40).items
    available = np.ones(N_ITEMS, np.bool_)
    available[best[:, 0]] = False
    asked = batch(excluded=excluding({row: best[row, 1:30] for row in range(N_USERS)}), available=available)
    found = indexed(made, tmp_path).recommend(asked, K)
    for row in range(N_USERS):
        assert not set(found.items[row]) & set(best[row, 1:30])
    assert available[found.items].all()
    assert (found.items != NO_ITEM).all()


def test_where_filters_leave_too_little_the_model_answers(tmp_path: Path) -> None:
    """All but 20 items are sold out since the index was built; and one user excludes nearly everything."""
    made = model()
    near = indexed(made, tmp_path)
    few = np.zeros(N_ITEMS, np.bool_)
    few[::150] = True
    much = excluding({3: np.arange(N_ITEMS - 12)})
    for asked in (batch(available=few), batch(excluded=much)):
        found, exact = near.recommend(asked, K), made.recommend(asked, K)
        assert (found.items != NO_ITEM).all()
        np.testing.assert_array_equal(found.items[3], exact.items[3])


def test_unknown_users_candidates_and_long_lists_go_to_the_model(tmp_path: Path) -> None:
    made = model()
    near = indexed(made, tmp_path)
    assert near.recommend(batch([-1, 0]), K).items[0].tolist() == list(range(K))
    listed = batch([0], candidates=np.array([[5, 9]], np.int32))
    assert set(near.recommend(listed, 2).items[0].tolist()) == {5, 9}
    assert (near.recommend(batch([0]), N_ITEMS).items[0] != NO_ITEM).all()
    assert near.recommend(batch([]), K).items.shape == (0, K)
    made.asked = 0
    near.recommend(batch(), K)
    assert made.asked == 0


def test_sold_out_items_are_not_indexed(tmp_path: Path) -> None:
    made = model()
    available = np.arange(N_ITEMS) % 2 == 0
    found = indexed(made, tmp_path, available).recommend(batch(), K)
    assert available[found.items].all()


@pytest.mark.parametrize("damage", [b"", b"\x00\xff" * 100])
def test_a_broken_index_is_refused(tmp_path: Path, damage: bytes) -> None:
    made = model()
    indexed(made, tmp_path)
    (tmp_path / FILE_NAME).write_bytes(damage)
    with pytest.raises(ArtifactError, match=r"nearest\.usearch"):
        Nearest(made, tmp_path)


def test_an_index_of_other_vectors_is_refused(tmp_path: Path) -> None:
    others = np.eye(SIZE + 1, dtype=np.float32)
    build(tmp_path, others, others, None)
    with pytest.raises(ArtifactError, match="of length 16"):
        Nearest(model(), tmp_path)


@pytest.mark.processes
@pytest.mark.slow
def test_a_version_of_a_large_catalogue_is_served_by_its_index(tmp_path: Path) -> None:
    """Registered with its index, loaded anywhere, answering as the model does; and packed with USearch."""
    settings = Settings(home=tmp_path, retrieval=RetrievalSettings(index_items=5))
    lake = Lake(tmp_path / "lake")
    served_homes.fill(lake, served_homes.events())
    cut = Dataset.load(lake, served_homes.problem()).cut()
    fitted = discovery.get("bpr").recommender().fit(cut.training(0))
    version = Registry(open_engine(settings.metadata_url), settings.artifacts).add(
        fitted,
        problem=served_homes.problem(),
        snapshot=cut.serving_snapshot,
        window=(cut.start, cut.end),
        counts={},
        seed=0,
        precompute=precomputing(settings),
    )
    export_version(version.folder, tmp_path / "elsewhere")
    loaded = load_version(tmp_path / "elsewhere")
    near = open_retriever(loaded)
    assert isinstance(near, Nearest)
    users = np.arange(served_homes.N_USERS, dtype=np.int32)
    asked = loaded.snapshot.batch(users, seeds=np.zeros(len(users), np.uint64))
    found, exact = near.recommend(asked, 5), loaded.model.recommend(asked, 5)
    np.testing.assert_array_equal(found.items, exact.items)
    np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-4)

    (tmp_path / "packed").mkdir()
    code = """
from pathlib import Path
from tastemaker.serving.build.bento_image import pack
print(*pack("bpr", Path("packed")))
"""
    environment = os.environ | {"TASTEMAKER_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "True"}
    packing = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert " usearch==" in packing.stdout
    assert isinstance(open_retriever(load_version(tmp_path / "packed" / "version")), Nearest)


@pytest.mark.slow
def test_recall_on_a_real_shop(online_retail: Path, tmp_path: Path) -> None:
    """Matrix factorization of real purchases: the index finds what scoring every item finds."""
    data = purchases(online_retail)
    plugin = discovery.get("ials")
    fitted = plugin.recommender(plugin.recommender.config_type.model_validate({"epochs": 3})).fit(data)
    chosen = np.arange(0, data.n_users, 30, dtype=np.int32)
    asked = Batch(chosen, data.history[chosen], np.zeros(len(chosen), np.uint64), now=data.end)
    others = np.arange(7, data.n_users, 30, dtype=np.int32)
    elsewhere = Batch(others, data.history[others], np.zeros(len(others), np.uint64), now=data.end)
    build(tmp_path, fitted.item_vectors, fitted.embed(elsewhere), None)
    near = Nearest(fitted, tmp_path, exact_from=NEVER)
    found, exact = near.recommend(asked, K), fitted.recommend(asked, K)
    common = [len(set(a) & set(b)) for a, b in zip(found.items.tolist(), exact.items.tolist(), strict=True)]
    assert sum(common) >= 0.98 * len(chosen) * K
