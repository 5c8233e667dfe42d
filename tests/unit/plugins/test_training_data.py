"""What a model may learn from, handed to several models in turn."""

from __future__ import annotations

import numpy as np

from tastemaker.plugins import Events, TrainingData


def _data() -> TrainingData:
    events = Events(
        users=np.array([0, 1, 0], np.int32),
        items=np.array([2, 1, 2], np.int32),
        rewards=np.array([1, 2, 3], np.float32),
        times=np.array([10, 20, 30]),
    )
    return TrainingData(events, n_users=2, n_items=3, end=40, rng=np.random.default_rng(7))


def test_reseeded_data_draws_the_same_each_time() -> None:
    data = _data()
    drawn = [data.reseeded().rng.integers(1 << 40, size=5).tolist() for _ in range(2)]
    assert drawn[0] == drawn[1] == np.random.default_rng(7).integers(1 << 40, size=5).tolist()


def test_reseeded_data_shares_the_history() -> None:
    data = _data()
    again = data.reseeded()
    assert again.history is data.history
    assert again.events is data.events
    assert (again.n_users, again.n_items, again.end, again.k) == (2, 3, 40, 10)


def test_earlier_data_has_a_history_of_its_own() -> None:
    data = _data()
    assert data.history.items.tolist() == [2, 1]
    assert data.reseeded().before(20).history.matrix().toarray().tolist() == [[0, 0, 1], [0, 0, 0]]
