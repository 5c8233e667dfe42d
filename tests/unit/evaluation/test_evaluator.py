"""Asking a model for all users' lists: what is scored, what is refused, and what a backtest stores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from support.evaluation_worlds import DAY, Scripted, ScriptedConfig, small_split
from tastemaker.dataset.split import Split
from tastemaker.errors import ArtifactError, PluginError, TastemakerError
from tastemaker.evaluation import backtest, evaluator, item_statistics, metrics, results
from tastemaker.evaluation.evaluator import evaluate, user_keys
from tastemaker.evaluation.item_statistics import ItemStatistics
from tastemaker.evaluation.metrics import METRICS, RankedLists
from tastemaker.plugins import Batch, Ranking
from tastemaker.plugins.discovery import Plugin
from tastemaker.problem import EventReward, Objective, Placement, ProblemSpec
from tastemaker.storage.engine import open_engine

PROBLEM = ProblemSpec(
    name="small",
    placement=Placement(k=5),
    objectives=(Objective(name="sales", events={"purchase": EventReward()}),),
)
PLUGIN = Plugin("scripted", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_engine(f"sqlite:///{tmp_path / 'metadata.db'}")


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


def test_evaluating_in_blocks_is_evaluating_at_once() -> None:
    split = small_split(unknown=7)
    model = Scripted(ScriptedConfig(noise=2)).fit(split.train)
    whole, blocks = evaluate(model, split, 5), evaluate(model, split, 5, block=7)
    assert list(whole.values) == list(METRICS)
    for name, values in whole.values.items():
        np.testing.assert_array_equal(values, blocks.values[name], err_msg=name)
    np.testing.assert_array_equal(whole.exposures, blocks.exposures)


def test_a_model_may_return_the_same_arrays_for_every_block() -> None:
    """A block is scored while the model answers the next one."""

    class Reusing(Scripted):
        answers: dict[int, Ranking]

        def recommend(self, batch: Batch, k: int) -> Ranking:
            ranking = super().recommend(batch, k)
            kept = self.answers.setdefault(len(batch), ranking)
            for part, new in zip(kept, ranking, strict=True):
                part[:] = new
            return kept

    split = small_split()
    model = Reusing().fit(split.train)
    model.answers = {}
    reused = evaluate(model, split, 5, block=2)
    whole = evaluate(Scripted().fit(split.train), split, 5)
    np.testing.assert_array_equal(reused.lists, whole.lists)
    for name in whole.values:
        np.testing.assert_array_equal(reused.values[name], whole.values[name], err_msg=name)


def test_a_fault_in_the_last_block_is_reported() -> None:
    class Late(Scripted):
        name = "late"

        def recommend(self, batch: Batch, k: int) -> Ranking:
            ranking = super().recommend(batch, k)
            return ranking if len(batch) == 7 else repeated(ranking)

    split = small_split()
    with pytest.raises(PluginError, match=r"model late gave an answer .* row 3 holds item"):
        evaluate(Late().fit(split.train), split, 5, block=7)


def test_only_the_metrics_that_are_asked_for_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    split = small_split(repeats=False)
    model = Scripted().fit(split.train)
    whole = evaluate(model, split, 5)
    evaluator._catalogue.cache_clear()
    monkeypatch.setattr(item_statistics, "_embed", None)  # only diversity asks for the embeddings
    some = evaluate(model, split, 5, metrics=("novelty", "recall", "coverage"))
    assert list(some.values) == ["recall", "coverage", "novelty"]
    for name, values in some.values.items():
        np.testing.assert_array_equal(values, whole.values[name])
    with pytest.raises(TastemakerError, match="no metric named f1") as error:
        evaluate(model, split, 5, metrics=("recall", "f1"))
    assert "ndcg, recall, map" in str(error.value.fix)


def test_the_figures_are_those_of_the_lists() -> None:
    split = small_split(repeats=False)
    model = Scripted().fit(split.train)
    measured = evaluate(model, split, 5)
    batch = split.snapshot.batch(split.users, seeds=user_keys(split.user_ids))
    lists = model.recommend(batch, 5).items
    alone = RankedLists(lists, split.relevant, ItemStatistics(split.train))
    np.testing.assert_array_equal(measured.values["ndcg"], metrics.ndcg(alone))
    assert measured.exposures.sum() == (lists >= 0).sum()
    assert measured.values["coverage"].mean() == pytest.approx(len(np.unique(lists[lists >= 0])) / 20)


def test_coverage_counts_what_may_be_shown() -> None:
    available = np.arange(20) < 5
    split = small_split(available=available)
    measured = evaluate(Scripted().fit(split.train), split, 5)
    assert measured.values["coverage"].mean() == pytest.approx(1)


def test_a_list_longer_than_the_catalogue_is_padded_and_scored() -> None:
    split = small_split(n_items=3)
    measured = evaluate(Scripted().fit(split.train), split, 50)
    assert measured.values["recall"].tolist() == [1.0] * 60
    assert measured.values["coverage"].mean() == 1


@pytest.mark.parametrize(("n_users", "n_items"), [(1, 20), (60, 1), (1, 1)])
def test_one_user_or_one_item_is_evaluated(n_users: int, n_items: int) -> None:
    split = small_split(n_users, n_items)
    measured = evaluate(Scripted().fit(split.train), split, 5)
    assert all(np.isfinite(values).all() for values in measured.values.values())


def test_no_user_to_evaluate_is_an_error() -> None:
    split = small_split(0)
    with pytest.raises(TastemakerError, match="nothing to evaluate"):
        evaluate(Scripted().fit(small_split().train), split, 5)


Spoiler = Callable[[Ranking], object]


def repeated(ranking: Ranking) -> Ranking:
    ranking.items[3, 1] = ranking.items[3, 0]
    return ranking


def gap(ranking: Ranking) -> Ranking:
    ranking.items[2, 1] = -1
    return ranking


def unknown(ranking: Ranking) -> Ranking:
    ranking.items[0, 0] = 20
    return ranking


def forbidden(ranking: Ranking) -> Ranking:
    ranking.items[:, 0] = 19
    return ranking


def not_a_number(ranking: Ranking) -> Ranking:
    ranking.scores[1, 1] = np.nan
    return ranking


def rising(ranking: Ranking) -> Ranking:
    ranking.scores[4] = ranking.scores[4, ::-1].copy()
    return ranking


def impossible(ranking: Ranking) -> Ranking:
    ranking.propensities[0, 0] = 1.5
    return ranking


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (repeated, r"row 3 holds item \d+ twice"),
        (gap, "row 2 has an item after its padding"),
        (unknown, "item 20 does not exist, the catalogue has 20"),
        (forbidden, "row 0 holds item 19, which its request does not allow"),
        (not_a_number, "1 scores are NaN"),
        (rising, "the scores of row 4 rise"),
        (impossible, "a propensity is 1.5"),
        (lambda ranking: ranking.items, "expected a Ranking, got ndarray"),
        (
            lambda ranking: ranking._replace(items=ranking.items.astype(float)),
            "items are float64, must be int32",
        ),
        (lambda ranking: ranking._replace(items=ranking.items.tolist()), "items is a list, must be an array"),
        (
            lambda ranking: ranking._replace(scores=ranking.scores[:-1]),
            r"scores has shape \(59, 5\), must be \(60, 5\)",
        ),
    ],
)
def test_a_broken_answer_is_refused_and_not_scored(spoil: Spoiler, complaint: str) -> None:
    class Broken(Scripted):
        name = "broken"

        def recommend(self, batch: Batch, k: int) -> Any:
            return spoil(super().recommend(batch, k))

    split = small_split(available=np.arange(20) < 19)
    with pytest.raises(PluginError, match=f"model broken gave an answer that can't be scored: {complaint}"):
        evaluate(Broken().fit(split.train), split, 5)


def test_an_item_that_the_user_had_is_refused_where_repeats_are_not_allowed() -> None:
    class Forgetful(Scripted):
        name = "forgetful"

        def recommend(self, batch: Batch, k: int) -> Ranking:
            return super().recommend(Batch(batch.users, batch.history, batch.seeds, batch.now), k)

    split = small_split(repeats=False)
    with pytest.raises(PluginError, match=r"forgetful gave an answer .* which its request does not allow"):
        evaluate(Forgetful().fit(split.train), split, 5)


def test_a_model_that_raises_is_named(engine: Engine, artifacts: Path) -> None:
    class Unfit(Scripted):
        name = "unfit"

        def fit(self, data: object) -> Any:
            raise ZeroDivisionError("no events")

    class Mute(Scripted):
        name = "mute"

        def recommend(self, batch: Batch, k: int) -> Ranking:
            raise KeyError("scores")

    split = small_split()
    with pytest.raises(PluginError, match="model mute failed to recommend: KeyError: 'scores'"):
        evaluate(Mute().fit(split.train), split, 5)
    with pytest.raises(PluginError, match="model unfit failed to fit: ZeroDivisionError: no events"):
        backtest.run(
            PLUGIN._replace(name="unfit", recommender=Unfit), None, split, PROBLEM, engine, artifacts
        )
    assert results.newest(engine, "small") == []


def test_a_backtest_is_stored_and_not_done_twice(engine: Engine, artifacts: Path) -> None:
    split, seen = small_split(), list[tuple[int, int]]()
    Scripted.fits.clear()
    first = backtest.run(
        PLUGIN,
        None,
        split,
        PROBLEM,
        engine,
        artifacts,
        progress=lambda done, users: seen.append((done, users)),
    )
    again = backtest.run(PLUGIN, None, split, PROBLEM, engine, artifacts)
    assert again == first == results.get(engine, first.id)
    assert len(Scripted.fits) == 1
    assert seen == [(60, 60)]
    assert first.train_end == datetime.fromtimestamp(30 * DAY, UTC)
    assert first.artifact_bytes == 128 + 4 * 20  # one .npy header and 20 float32
    users = results.load_users(artifacts, first)
    assert users.k == 5
    assert users.values["ndcg"].mean() == pytest.approx(first.metrics["ndcg"].value)
    assert [file.name for file in artifacts.iterdir()] == ["backtests"]


def test_the_leaderboard_shows_what_was_listed_last(engine: Engine, artifacts: Path) -> None:
    split = small_split()

    def run(noise: float, *, listed: bool = True) -> str:
        config = ScriptedConfig(noise=noise)
        return backtest.run(PLUGIN, config, split, PROBLEM, engine, artifacts, listed=listed).id

    def shown() -> list[str]:
        return [one.id for one in results.newest(engine, "small")]

    aside = run(3, listed=False)
    assert shown() == []
    first, second = run(1), run(2)
    assert shown() == [second]
    assert run(1) == first
    assert shown() == [first]
    assert run(2, listed=False) == second
    assert shown() == [first]
    assert run(3) == aside
    assert shown() == [aside]


def test_two_runs_at_once_fit_once(engine: Engine, artifacts: Path) -> None:
    split = small_split()
    Scripted.fits.clear()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(backtest.run, PLUGIN, None, split, PROBLEM, engine, artifacts) for _ in range(2)]
        first, second = (run.result() for run in runs)
    assert first == second
    assert len(Scripted.fits) == 1


def test_another_config_or_seed_is_another_backtest_and_fits_do_not_share_random_numbers(
    engine: Engine, artifacts: Path
) -> None:
    split = small_split()
    Scripted.fits.clear()
    ids = {
        backtest.run(PLUGIN, ScriptedConfig(noise=noise), split, PROBLEM, engine, artifacts).id
        for noise in (0, 1)
    }
    assert len(ids) == 2
    assert Scripted.fits[0] == Scripted.fits[1]
    assert backtest.identify(PLUGIN, ScriptedConfig(), small_split(seed=1), PROBLEM) not in ids


def test_a_backtest_whose_file_is_gone_is_done_again(engine: Engine, artifacts: Path) -> None:
    split = small_split()
    first = backtest.run(PLUGIN, None, split, PROBLEM, engine, artifacts)
    (artifacts / first.users_path).write_bytes(b"half")
    with pytest.raises(ArtifactError, match="the users' metrics of scripted, can't be read"):
        results.load_users(artifacts, first)
    (artifacts / first.users_path).unlink()
    second = backtest.run(PLUGIN, None, split, PROBLEM, engine, artifacts)
    assert second.id == first.id
    assert results.load_users(artifacts, second).values["mrr"].mean() == pytest.approx(
        second.metrics["mrr"].value
    )


def test_a_full_disk_leaves_nothing_behind(
    engine: Engine, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Scripted, "save", full)
    with pytest.raises(ArtifactError, match=r"can't be saved in .*: No space left on device"):
        backtest.run(PLUGIN, None, small_split(), PROBLEM, engine, artifacts)
    monkeypatch.undo()
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(ArtifactError, match=r"can't be saved in .*: No space left on device"):
        backtest.run(PLUGIN, None, small_split(), PROBLEM, engine, artifacts)
    assert [file for file in artifacts.rglob("*") if file.is_file() and ".locks" not in file.parts] == []
    assert results.newest(engine, "small") == []


def test_models_evaluated_on_other_users_are_not_compared(engine: Engine, artifacts: Path) -> None:
    def run(split: Split) -> results.Backtest:
        return backtest.run(PLUGIN, None, split, PROBLEM, engine, artifacts)

    with pytest.raises(ArtifactError, match="evaluated on different users"):
        results.compare(artifacts, run(small_split(60)), run(small_split(50, seed=1)), "ndcg")
