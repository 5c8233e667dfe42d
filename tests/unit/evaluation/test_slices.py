"""Slices: who is in which, what counts there, and a model that wins overall and loses one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from support.evaluation_worlds import Scripted, ScriptedConfig, small_split
from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, USERS
from tastemaker.dataset.dataset import Dataset
from tastemaker.dataset.split import Split
from tastemaker.errors import SourceError
from tastemaker.evaluation import backtest, results
from tastemaker.evaluation.evaluator import evaluate, user_keys
from tastemaker.evaluation.item_statistics import ItemStatistics
from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.leaderboard.breaches import Breach
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.evaluation.metrics import HITS, METRICS, RankedLists
from tastemaker.evaluation.slices import compare_slices
from tastemaker.plugins.discovery import Plugin
from tastemaker.problem import EventReward, Objective, Placement, ProblemSpec, Slices
from tastemaker.stats.bootstrap import intervals
from tastemaker.storage.engine import open_engine
from tastemaker.workflows.promote import choose

DAY = 86_400


OWN_COLUMNS: list[list[tuple[str, str | None]] | None] = [
    [("segment", "Gold ★"), ('it\'s "odd"; a.b', "1")],
    [("segment", None), ("plan", "free")],
    None,
]


def shop(root: Path) -> Lake:
    """Before the cut at day 10: a has 3 purchases, b one. After it a, b and the unknown c buy one each."""
    rows = [("a", "x", 0), ("a", "y", 1), ("a", "x", 2), ("b", "x", 3), ("b", "z", 12), ("c", "y", 12)]
    rows += [("a", "x", 13), ("c", "x", 19)]
    lake = Lake(root)
    events = {
        "event_id": [str(n) for n in range(len(rows))],
        "user_id": [row[0] for row in rows],
        "item_id": [row[1] for row in rows],
        "event_type": ["purchase"] * len(rows),
        "value": [1.0] * len(rows),
        "occurred_at": [datetime.fromtimestamp(row[2] * DAY + 5, UTC) for row in rows],
        "request_id": [None] * len(rows),
        "position": [None] * len(rows),
    }
    lake.write("events", pa.table(events, schema=EVENTS))
    users = {"user_id": ["a", "c", "unheard of"], "country": ["IT", None, "AT"]}
    seen = [datetime(2020, 1, 1, tzinfo=UTC)] * 3
    lake.write("users", pa.table(users | {"first_seen_at": seen, "own": OWN_COLUMNS}, schema=USERS))
    return lake


def problem(**slices: Any) -> ProblemSpec:
    return ProblemSpec.model_validate(
        {
            "name": "slices",
            "placement": {"k": 5},
            "objectives": [{"name": "sales", "events": {"purchase": {}}}],
            "split": {"test_days": 10},
            "slices": slices,
        }
    )


def test_a_split_knows_its_slices(tmp_path: Path) -> None:
    split = Dataset.load(shop(tmp_path), problem(new_below=2)).split()
    assert split.user_ids == ["a", "c"]  # b bought only what the cut did not know
    assert split.user_slices["users"].tolist() == ["old", "new"]
    assert split.user_slices["country"].tolist() == ["IT", "unknown"]
    assert split.item_slices["head"].tolist() == [True, False]  # x: 2 users, y: 1
    assert split.item_slices["tail"].tolist() == [False, True]


@pytest.mark.slow
def test_a_user_who_moved_is_in_another_slice_and_is_other_data(tmp_path: Path) -> None:
    lake = shop(tmp_path)
    before = Dataset.load(lake, problem()).split()
    moved = lake.read("users").set_column(1, USERS.field("country"), pa.array(["AT", None, "AT"]))
    lake.write("users", moved)
    after = Dataset.load(lake, problem()).split()
    assert after.user_slices["country"].tolist() == ["AT", "unknown"]
    assert after.slices_digest != before.slices_digest
    assert after.data_hash != before.data_hash, "models may read the column"


def test_the_shops_own_columns_are_sliced_by_as_canonical_ones(tmp_path: Path) -> None:
    columns = ["country", "segment", 'it\'s "odd"; a.b', "plan"]
    split = Dataset.load(shop(tmp_path), problem(user_columns=columns)).split()
    found = {name: split.user_slices[name].tolist() for name in columns}
    assert found == {
        "country": ["IT", "unknown"],
        "segment": ["Gold ★", "unknown"],
        'it\'s "odd"; a.b': ["1", "unknown"],
        "plan": ["unknown", "free"],
    }


@pytest.mark.slow
def test_to_ask_for_slices_changes_no_data_and_other_values_do(tmp_path: Path) -> None:
    lake = shop(tmp_path)
    data = Dataset.load(lake, problem()).data_hash
    sliced = Dataset.load(lake, problem(user_columns=["segment"]))
    assert sliced.data_hash == data
    segments, rows = sliced.split().slices_digest, lake.read("users")
    lake.write("users", rows.set_column(3, USERS.field("own"), pa.array([None] * 3, USERS.field("own").type)))
    assert Dataset.load(lake, problem()).data_hash != data, "models may read the column"
    lake.write(
        "users", rows.set_column(3, USERS.field("own"), pa.array([[("segment", "x")]] * 3, rows["own"].type))
    )
    assert Dataset.load(lake, problem(user_columns=["segment"])).split().slices_digest != segments


@pytest.mark.slow
def test_a_column_that_identifies_people_is_refused(tmp_path: Path) -> None:
    lake, n = Lake(tmp_path), 26
    shop(tmp_path)
    events = pa.concat_tables([lake.read("events")] * n).to_pylist()
    lake.write(
        "events",
        pa.Table.from_pylist([row | {"user_id": f"u{at % n}"} for at, row in enumerate(events)], EVENTS),
    )

    def with_emails(values: int) -> Lake:
        rows = [
            {"user_id": f"u{at}", "first_seen_at": datetime(2020, 1, 1, tzinfo=UTC)}
            | {"own": [("email", f"{at % values}@x.org"), ("age", str(at))]}
            for at in range(n)
        ]
        lake.write("users", pa.Table.from_pylist(rows, USERS))
        return lake

    assert len(Dataset.load(with_emails(13), problem(user_columns=["email"])).labels["email"].names) == 13
    with pytest.raises(SourceError, match="'email', with 14 different texts for 26 users"):
        Dataset.load(with_emails(14), problem(user_columns=["email"]))
    assert Dataset.load(lake, problem(user_columns=["age"])).labels["age"].names[0] == "0"


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="names 'town', but the table users has no such column") as caught:
        Dataset.load(shop(tmp_path), problem(user_columns=["town"]))
    offered = 'name one of country, first_seen_at, it\'s "odd"; a.b, plan, segment in the problem file'
    assert offered in str(caught.value.fix)
    assert "source.user_columns" in str(caught.value.fix)
    with pytest.raises(SourceError, match="names 'own', but"):
        Dataset.load(shop(tmp_path), problem(user_columns=["own"]))


@pytest.mark.parametrize("block", [7, 2048])
def test_only_the_items_of_the_slice_count_as_relevant(block: int) -> None:
    split = small_split()
    relevant = split.relevant.copy()
    model = Scripted(ScriptedConfig(noise=5)).fit(split.train)
    measured = evaluate(model, split, 5, block=block)
    lists = model.recommend(split.snapshot.batch(split.users, seeds=user_keys(split.user_ids)), 5).items
    for name, items in split.item_slices.items():
        wanted = relevant.toarray() * items
        alone = RankedLists(lists, type(relevant)(wanted), ItemStatistics(split.train))
        some = (wanted > 0).any(axis=1)
        for metric, found in measured.by_items[name].items():
            assert np.isnan(found[~some]).all()
            np.testing.assert_array_equal(found[some], HITS[metric](alone)[some], err_msg=metric)
    np.testing.assert_array_equal(split.relevant.toarray(), relevant.toarray())
    parts = measured.by_items
    both = np.nan_to_num(parts["head"]["reward"]) + np.nan_to_num(parts["tail"]["reward"])
    np.testing.assert_allclose(both, measured.values["reward"], atol=1e-9)  # a sum over the items


def win_but_lose_the_new(home: Path, spec: ProblemSpec) -> Leaderboard:
    """`rival` is 0.2 better for the old and 0.1 worse for the new, who are half as many."""
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    rng = np.random.default_rng(0)
    for model, (old, new) in {"popularity": (0.0, 0.0), "rival": (0.2, -0.1)}.items():
        plugin = Plugin(model, Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
        done = backtest.run(plugin, None, small_split(300), spec, engine, home)
        users = results.load_users(home, done)
        base = np.where(users.user_slices["users"] == "new", new, old) + 0.4
        users.values["ndcg"] = base + rng.normal(0, 0.05, 300)
        results.save_users(home / done.users_path, users)
        (figure,) = intervals(users.values["ndcg"][:, None])
        results.put(engine, replace(done, metrics=done.metrics | {"ndcg": figure}))
    return Leaderboard.load(engine, spec, home)


def spec(**max_loss: float) -> ProblemSpec:
    return ProblemSpec(
        name="small",
        placement=Placement(k=5),
        objectives=(Objective(name="sales", events={"purchase": EventReward()}),),
        slices=Slices(max_loss={key.replace("_", "="): limit for key, limit in max_loss.items()}),
    )


@pytest.mark.slow
@pytest.mark.parametrize("key", ["users_new", "users"])
def test_a_model_that_wins_overall_and_loses_a_slice_says_so(tmp_path: Path, key: str) -> None:
    board = win_but_lose_the_new(tmp_path, spec(**{key: 0.05}))
    rival = board.rows[0]
    assert (rival.model, rival.verdict, rival.standing) == ("rival", "better", "best")
    (breach,) = rival.breaches
    assert (breach.slice, breach.metric, breach.limit) == ("users=new", "ndcg", -0.05)
    assert breach.value == pytest.approx(-0.1, abs=0.02)
    said = formatting.summary(board)
    assert "rival is better than popularity overall, but breaches the guardrail of users=new." in said
    assert "but breaches the guardrail of users=new" in board.to_html()
    assert choose(board, None) is None  # it does not become champion by itself
    verdicts = {one.name: one.rows[0].verdict for one in board.slices}
    assert (verdicts["users=new"], verdicts["users=old"]) == ("worse", "better")
    assert [row.model for row in board.rows] == [row.model for row in board.slices[0].rows]


@pytest.mark.slow
def test_within_the_guardrail_or_without_one_nothing_is_broken(tmp_path: Path) -> None:
    board = win_but_lose_the_new(tmp_path, spec(users_new=0.2, country=0.0))
    assert [row.breaches for row in board.rows] == [(), ()]
    assert "guardrail" not in formatting.summary(board)
    assert choose(board, None) == "rival"
    assert {one.name for one in board.slices} == {
        "users=new", "users=old", "country=Österreich", "country=Italia", "items=head", "items=tail",
    }  # fmt: skip


@pytest.mark.slow
def test_a_guardrail_of_an_empty_slice_says_so(tmp_path: Path) -> None:
    limited = spec(users_new=0.2, country_Itlaia=0.1, items=0.1)
    board = win_but_lose_the_new(tmp_path, limited)
    assert board.unchecked_guardrails == ("country=Itlaia",)
    assert "is in the slice: country=Itlaia." in formatting.summary(board)
    other = Leaderboard.load(
        open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}"), limited, tmp_path, metric="coverage"
    )
    assert other.unchecked_guardrails == board.unchecked_guardrails


@pytest.mark.slow
def test_a_guardrail_of_a_slice_is_held_in_the_primary_metric_whatever_is_shown(tmp_path: Path) -> None:
    limited = spec(users_new=0.05)
    board = win_but_lose_the_new(tmp_path, limited)
    engine = open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}")
    other = Leaderboard.load(engine, limited, tmp_path, metric="coverage")
    assert other.slices == ()
    losses = {row.model: row.breaches for row in board.rows}
    assert {row.model: row.breaches for row in other.rows} == losses
    assert isinstance(losses["rival"][0], Breach)


def test_other_slices_are_made_of_the_stored_lists_without_fitting(tmp_path: Path) -> None:
    """Slicing again gives what a new backtest with these slices gives, bit by bit."""
    plugin = Plugin("scripted", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
    split = small_split()
    other = replace(
        split,
        user_slices={"plan": np.where(np.arange(len(split.users)) % 4, "free", "paid")},
        item_slices={"head": np.arange(20) < 7, "tail": np.arange(20) >= 7},
    )
    first, second = tmp_path / "first", tmp_path / "second"
    engines = [open_engine(f"sqlite:///{tmp_path / name}.db") for name in ("first", "second")]
    Scripted.fits.clear()
    stored = backtest.run(plugin, None, split, spec(), engines[0], first)
    again = backtest.run(plugin, None, other, spec(), engines[0], first)
    assert len(Scripted.fits) == 1
    assert again == stored
    fresh = backtest.run(plugin, None, other, spec(), engines[1], second)
    assert len(Scripted.fits) == 2
    assert fresh.id == stored.id
    sliced, expected = results.load_users(first, again), results.load_users(second, fresh)
    assert sliced.slices_digest == expected.slices_digest == other.slices_digest
    assert sliced.user_slices["plan"].tolist() == expected.user_slices["plan"].tolist()
    assert set(sliced.user_slices) == {"plan"}
    for name, metrics in expected.by_items.items():
        for metric, values in metrics.items():
            np.testing.assert_array_equal(sliced.by_items[name][metric], values, err_msg=f"{name} {metric}")


@pytest.mark.parametrize("spoil", ["no lists", "another user", "half a file"])
def test_results_that_can_not_be_sliced_again_are_recomputed(tmp_path: Path, spoil: str) -> None:
    plugin = Plugin("scripted", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
    engine, split = open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}"), small_split()
    stored = backtest.run(plugin, None, split, spec(), engine, tmp_path)
    path, users = tmp_path / stored.users_path, results.load_users(tmp_path, stored)
    if spoil == "half a file":
        path.write_bytes(path.read_bytes()[:100])
    else:
        keys = users.user_keys.copy()
        keys[0] += 1
        lists = None if spoil == "no lists" else users.lists
        results.save_users(path, replace(users, lists=lists, user_keys=keys, slices_digest="earlier"))
    Scripted.fits.clear()
    backtest.run(plugin, None, split, spec(), engine, tmp_path)
    assert len(Scripted.fits) == 1
    assert results.load_users(tmp_path, stored).user_keys.tolist() == users.user_keys.tolist()


def test_lists_that_were_sliced_in_two_ways_are_not_compared_by_items(tmp_path: Path) -> None:
    split = small_split()
    one = backtest_users(split, tmp_path / "one")
    other = replace(one, slices_digest="another")
    found = compare_slices([one, other], ["one", "other"], "one", "ndcg")
    assert {part.dimension for part in found} == {"users", "country"}
    both = compare_slices([one, one], ["one", "other"], "one", "ndcg")
    assert {part.dimension for part in both} == {"users", "country", "items"}


def backtest_users(split: Split, folder: Path) -> results.UserResults:
    plugin = Plugin("scripted", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
    folder.mkdir()
    engine = open_engine(f"sqlite:///{folder / 'tastemaker.db'}")
    return results.load_users(folder, backtest.run(plugin, None, split, spec(), engine, folder))


def test_slices_are_stored_and_read_back(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}")
    split = small_split()
    plugin = Plugin("scripted", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
    users = results.load_users(tmp_path, backtest.run(plugin, None, split, spec(), engine, tmp_path))
    for dimension, labels in split.user_slices.items():
        assert users.user_slices[dimension].tolist() == labels.tolist()
    assert set(users.by_items) == {"head", "tail"}
    assert set(users.by_items["head"]) == {"ndcg", "recall", "map", "mrr", "hit_rate", "reward"}
    assert set(users.values) == set(METRICS)
