"""A model that was not retrained answers requests of a later day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.evaluation_worlds import Scripted, ScriptedConfig
from support.small_lakes import DAY, START, Row, make_lake, make_problem
from tastemaker.dataset.dataset import Dataset
from tastemaker.evaluation import backtest, results
from tastemaker.evaluation.backtest import LazyFit
from tastemaker.evaluation.evaluator import evaluate
from tastemaker.evaluation.stale_model import FrozenModel
from tastemaker.plugins import Batch, Ranking
from tastemaker.plugins.discovery import Plugin
from tastemaker.storage.engine import open_engine

OLD = [Row("ä", "1", 0), Row("b", "1", 1), Row("c", "2", 2), Row("ä", "3", 3)]
SINCE = [Row("new", "0 first by name", DAY), Row("new", "1", DAY + 1), Row("b", "3", DAY + 2)]
NOW = [Row("ä", "1", 2 * DAY), Row("b", "2", 2 * DAY), Row("new", "0 first by name", 2 * DAY)]
PLUGIN = Plugin("scripted", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")


class Spied(Scripted):
    """Keeps the batch that it was asked."""

    def recommend(self, batch: Batch, k: int) -> Ranking:
        self.asked = batch
        return super().recommend(batch, k)


def data(root: Path, **candidates: Any) -> Dataset:
    problem = make_problem(split={"test_days": 1}, **candidates)
    return Dataset.load(make_lake(root, OLD + SINCE + NOW), problem)


def test_without_time_between_it_is_the_model_itself(tmp_path: Path) -> None:
    split = data(tmp_path).split()
    model = Scripted().fit(split.train)
    stale = FrozenModel(model, split.snapshot, split.snapshot)
    for name, values in evaluate(model, split, 3).values.items():
        np.testing.assert_array_equal(values, evaluate(stale, split, 3).values[name])


def test_what_is_new_since_then_is_unknown_to_it(tmp_path: Path) -> None:
    dataset = data(tmp_path)
    then, now = dataset.split(at=START + DAY), dataset.split()
    model = Spied().fit(then.train)
    batch = now.snapshot.batch(now.users, seeds=np.arange(3, dtype=np.uint64))
    answer = FrozenModel(model, then.snapshot, now.snapshot).recommend(batch, 4)
    assert now.user_ids == ["b", "new", "ä"]
    assert [sorted(now.snapshot.item_ids.decode(row[:3])) for row in answer.items] == [["1", "2", "3"]] * 3
    assert (answer.items[:, 3] == -1).all()
    assert model.asked.users.tolist() == [0, -1, 2]
    assert model.asked.history.lengths.tolist() == [1, 0, 2]  # b's purchase since is not known to it
    assert model.asked.now == now.cut


def test_what_may_not_be_shown_is_of_the_day_of_the_request(tmp_path: Path) -> None:
    dataset = data(tmp_path, repeats=False, available_days=1, blocked_items=("0 first by name",))
    then, now = dataset.cut(START + DAY), dataset.cut(START + 2 * DAY)
    model = Spied().fit(then.training(0))
    batch = now.snapshot().batch(np.arange(4, dtype=np.int32), seeds=np.arange(4, dtype=np.uint64))
    answer = FrozenModel(model, then.snapshot(), now.snapshot()).recommend(batch, 4)
    assert now.user_ids.decode(range(4)) == ["b", "c", "new", "ä"]
    shown = [now.item_ids.decode(row[row >= 0]) for row in answer.items]
    assert shown == [[], ["1", "3"], ["3"], []]  # b had 1, and 3 since; in the last day no user bought 2


def test_a_stale_model_has_a_backtest_of_its_own(tmp_path: Path) -> None:
    dataset, engine = data(tmp_path / "lake"), open_engine(f"sqlite:///{tmp_path / 'metadata.db'}")
    then, now = dataset.split(at=START + DAY), dataset.split()
    Scripted.fits.clear()
    fitted = LazyFit(PLUGIN, ScriptedConfig(), then)

    def run(**options: Any) -> results.Backtest:
        spec = dataset.problem
        return backtest.run(PLUGIN, None, now, spec, engine, tmp_path / "artifacts", listed=False, **options)

    fresh, stale = run(), run(fitted=fitted)
    assert (stale.train_end, stale.test_end) == (fresh.train_end.replace(day=16), fresh.test_end)
    assert run(fitted=LazyFit(PLUGIN, ScriptedConfig(), then)) == stale
    assert len(Scripted.fits) == 2
    assert stale.metrics["ndcg"].value < fresh.metrics["ndcg"].value
    assert results.compare(tmp_path / "artifacts", fresh, stale, "ndcg").n == 3


def test_it_can_not_be_trained(tmp_path: Path) -> None:
    split = data(tmp_path).split()
    with pytest.raises(TypeError, match="not retrained"):
        FrozenModel(Scripted().fit(split.train), split.snapshot, split.snapshot).fit(split.train)
