"""Feature ablations of the ranker: what each config leaves out."""

import numpy as np
import pytest
from pydantic import ValidationError

from tastemaker.plugins import Batch, Events, TrainingData
from tastemaker_ranker.features import ITEM_COLUMNS, PAIR_COLUMNS, USER_COLUMNS
from tastemaker_ranker.ranker import ITEM_FEATURES, USER_FEATURES, Ranker, RankerConfig

RETRIEVERS = ("bought_again", "trending")
COLUMNS = {*PAIR_COLUMNS, *USER_COLUMNS, *ITEM_COLUMNS, *USER_FEATURES, *ITEM_FEATURES}
DAY = 86_400


def data() -> TrainingData:
    """60 days in which 40 users each buy two favourites again and again, and what trends."""
    rng = np.random.default_rng(3)
    days = np.repeat(np.arange(60), 40)
    users = np.tile(np.arange(40), 60)
    items = np.where(rng.random(len(days)) < 0.6, users % 20 * 2 + days % 2, 40 + days // 10)
    order = np.argsort(days, kind="stable")
    events = Events(
        users[order].astype(np.int32),
        items[order].astype(np.int32),
        np.ones(len(days), np.float32),
        days[order] * DAY + users[order],
    )
    return TrainingData(events, n_users=40, n_items=50, end=60 * DAY)


def test_every_column_and_retriever_can_be_left_out_alone() -> None:
    config = RankerConfig(retrievers=RETRIEVERS)
    found = Ranker.ablations(config)
    assert set(found) == {*RETRIEVERS, *COLUMNS}
    whole = Ranker(config)._columns
    for name in COLUMNS:
        assert set(whole) - set(Ranker(found[name])._columns) == {name}
        assert found[name].retrievers == RETRIEVERS
    for name in RETRIEVERS:
        assert name not in found[name].retrievers
        assert set(whole) - set(Ranker(found[name])._columns) == {f"{name}_score", f"{name}_rank"}


def test_an_excluded_column_stays_excluded_and_is_not_left_out_again() -> None:
    config = RankerConfig(retrievers=RETRIEVERS, excluded_columns=("pair_events", "trending_rank"))
    found = Ranker.ablations(config)
    assert "pair_events" not in found
    assert found["row_items"].excluded_columns == ("pair_events", "trending_rank", "row_items")
    assert found["trending"].excluded_columns == ("pair_events",)


def test_the_only_retriever_is_not_left_out() -> None:
    assert set(Ranker.ablations(RankerConfig(retrievers=("trending",)))) == COLUMNS


def test_the_trees_do_not_see_an_excluded_column() -> None:
    learned = data()
    users = np.arange(40, dtype=np.int32)
    batch = Batch(users, learned.history[users], np.zeros(40, np.uint64), learned.end)
    excluded = ("pair_events", "pair_events_share", "bought_again_score", "bought_again_rank")
    config = RankerConfig(retrievers=RETRIEVERS, min_leaf_rows=5, label_days=10, excluded_columns=excluded)
    model = Ranker(config).fit(learned)
    _, features = model._describe(batch)
    assert (
        features.shape[1]
        == len(model._columns)
        == len(Ranker(RankerConfig(retrievers=RETRIEVERS))._columns) - 4
    )
    assert model.ensemble is not None
    assert not any(name in model.ensemble.text.split("\n\n")[0] for name in excluded)
    parts = model.contributions(batch[:1], model.recommend(batch[:1], 5).items[0])
    assert parts is not None
    assert parts.names == model._columns


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        (("item_prize_paid",), "item_prize_paid is not a column"),
        (("ials_score",), "ials_score is not a column"),
        (tuple(COLUMNS | {f"{r}_{part}" for r in RETRIEVERS for part in ("score", "rank")}), "every column"),
    ],
)
def test_wrong_columns_are_refused(excluded: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RankerConfig(retrievers=RETRIEVERS, excluded_columns=excluded)
