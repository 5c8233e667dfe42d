"""The simulated shop: it repeats, it grows without changing its past, and there is a truth to learn."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from tastemaker.data.tables import EVENTS, ITEMS, USERS
from tastemaker.simulator.shop.catalogue import CATEGORIES
from tastemaker.simulator.shop.choice_model import chances, utility
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.day import EVENT_TYPES, PURCHASE, DayEvents
from tastemaker.simulator.shop.random_streams import draw_items, draw_tastes
from tastemaker.simulator.shop.shop import Shop, item_ids, user_ids

SMALL = ShopConfig(n_users=200, n_items=60, n_days=20, events_per_day=150, seed=3)
HORIZON = 30


@pytest.fixture(scope="module")
def shop() -> Shop:
    """The default shop, which the demo runs on."""
    return Shop()


@pytest.fixture(scope="module")
def days(shop: Shop) -> list[DayEvents]:
    return [shop.draw_day(day) for day in range(shop.config.n_days)]


def everything(shop: Shop, rows: int = 250_000) -> pa.Table:
    return pa.concat_tables(shop.read(rows=rows))


def test_tables_have_the_canonical_columns() -> None:
    shop = Shop(SMALL)
    assert everything(shop).schema.equals(EVENTS, check_metadata=True)
    assert shop.items().schema.equals(ITEMS)
    assert shop.users().schema.equals(USERS)
    for table, names in ((everything(shop), EVENTS), (shop.items(), ITEMS), (shop.users(), USERS)):
        for field in names:
            assert field.nullable or table[field.name].null_count == 0


def test_a_seed_repeats_and_another_seed_differs() -> None:
    assert everything(Shop(SMALL)).equals(everything(Shop(SMALL)))
    assert not everything(Shop(SMALL)).equals(everything(Shop(SMALL.model_copy(update={"seed": 4}))))


def test_any_day_is_reproducible_on_its_own() -> None:
    day = SMALL.start + timedelta(days=13)
    alone = pa.concat_tables(Shop(SMALL).read([day]))
    among = everything(Shop(SMALL))
    assert alone.equals(among.filter(pc.equal(among["occurred_at"].cast(pa.date32()), day)).combine_chunks())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**40), more=st.integers(1, 300))
def test_a_shop_that_stays_open_longer_has_the_same_past(seed: int, more: int) -> None:
    config = SMALL.model_copy(update={"seed": seed, "n_days": 12})
    short, long = Shop(config), Shop(config.model_copy(update={"n_days": 12 + more}))
    assert list(long.days().items())[:12] == list(short.days().items())
    assert long.items().slice(0, short.n_items).equals(short.items())
    assert long.users().slice(0, short.n_users).equals(short.users())
    for day in (0, 11):
        for before, after in zip(short.draw_day(day), long.draw_day(day), strict=True):
            np.testing.assert_array_equal(before, after)


def test_a_shop_at_another_time_is_the_same_shop() -> None:
    moved = Shop(SMALL.model_copy(update={"dated": SMALL.start + timedelta(weeks=90)}))
    here, there = everything(Shop(SMALL)), everything(moved)
    for name in ("user_id", "item_id", "event_type", "value"):
        assert there[name].equals(here[name])
    passed = np.asarray(there["occurred_at"]) - np.asarray(here["occurred_at"])
    assert set(passed.tolist()) == {timedelta(weeks=90)}
    assert set(moved.days()) == {day + timedelta(weeks=90) for day in Shop(SMALL).days()}
    assert not set(moved.days().values()) & set(Shop(SMALL).days().values())
    assert len(pa.concat_tables(moved.read([SMALL.start + timedelta(weeks=90)]))) > 0


def test_digests_tell_days_and_natures_apart() -> None:
    digests = set(Shop(SMALL).days().values()) | set(
        Shop(SMALL.model_copy(update={"seed": 4})).days().values()
    )
    assert len(digests) == 2 * SMALL.n_days


def test_events_are_in_order_unique_and_from_who_was_there() -> None:
    shop = Shop(SMALL)
    table = everything(shop)
    timestamps = table["occurred_at"].to_numpy()
    assert (np.diff(timestamps) >= np.timedelta64(0, "us")).all()
    assert len(table["event_id"].unique()) == len(table)
    for key, known in (("user_id", shop.users()), ("item_id", shop.items())):
        joined = table.join(known.select([key, "first_seen_at"]), key)
        assert joined["first_seen_at"].null_count == 0
        assert pc.all(pc.less_equal(joined["first_seen_at"], joined["occurred_at"])).as_py()


@pytest.mark.parametrize("rows", [1, 37, 10_000])
def test_chunks_hold_every_row_once_and_no_more_than_asked(rows: int) -> None:
    shop = Shop(SMALL.model_copy(update={"n_days": 5}))
    chunks = list(shop.read(rows=rows))
    assert max(map(len, chunks)) <= rows
    assert min(map(len, chunks)) > 0
    assert pa.concat_tables(chunks).equals(everything(shop))


def test_days_on_which_the_shop_is_closed_are_empty() -> None:
    assert list(Shop(SMALL).read([date(1999, 1, 1), SMALL.start + timedelta(days=SMALL.n_days)])) == []
    assert list(Shop(SMALL).read([])) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"n_users": 1, "n_items": 1, "n_days": 1},
        {"events_per_day": 0},
        {"staples": 0},
        {"tastes": 1},
        {"items_withdrawn_per_day": 0.5, "items_launched_per_day": 0.0, "n_items": 2},
        {"users_joining_per_day": 0.0, "users_leaving_per_day": 0.0},
        {"popularity_skew": 0, "season_strength": 0},
    ],
)
def test_odd_shops(changes: dict[str, float]) -> None:
    shop = Shop(ShopConfig.model_validate({**SMALL.model_dump(), **changes}))
    chunks = list(shop.read())
    assert bool(chunks) == (shop.config.events_per_day > 0)
    assert {len(shop.items()), len(shop.users())} == {shop.n_items, shop.n_users}


@pytest.mark.parametrize("wrong", [{"n_users": 0}, {"events_per_day": float("nan")}, {"users": 3}])
def test_a_config_is_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ShopConfig.model_validate(wrong)


def test_draws_follow_their_probabilities() -> None:
    """Against a loop that does the same by definition; absent items are never drawn."""
    rng = np.random.default_rng(0)
    appeal = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 2.0], [0.0, 0.0]])
    tastes = draw_tastes(np.tile(np.array([0.25, 0.75], np.float32), (40_000, 1)), rng.random(40_000))
    uniform = rng.random(40_000)
    items = draw_items(appeal, tastes, uniform)
    expected = [
        next(i for i in range(4) if appeal[: i + 1, z].sum() > u * appeal[:, z].sum())
        for z, u in zip(tastes[:500], uniform[:500], strict=True)
    ]
    assert items[:500].tolist() == expected
    shares = np.bincount(items, minlength=4) / 40_000
    np.testing.assert_allclose(shares, [0.25 / 4, 0.75 / 2, 0.25 * 3 / 4 + 0.75 / 2, 0], atol=0.01)


def test_choice_has_its_known_answers_and_directions() -> None:
    ordinary = chances(utility(np.array([1.0]), np.array([1.0])))
    assert ordinary.cart == pytest.approx([0.10])
    assert ordinary.purchase == pytest.approx([0.40])
    by_affinity = chances(utility(np.array([0.0, 0.5, 1.0, 4.0]), np.ones(4)))
    by_price = chances(utility(np.ones(3), np.array([0.5, 1.0, 2.0])))
    assert (np.diff(by_affinity.cart) > 0).all()
    assert (np.diff(by_affinity.purchase) > 0).all()
    assert (np.diff(by_price.cart) < 0).all()


def test_views_follow_the_truth() -> None:
    """Looks at items, summed over users, against Σ_u rate(u)·P(i | u, d): a chi-squared test."""
    shop = Shop(SMALL.model_copy(update={"events_per_day": 30_000.0, "staples": 0}))
    events = shop.draw_day(4)
    seen = np.bincount(events.items[events.types == 0], minlength=shop.n_items)
    users = np.arange(shop.n_users)
    rates = np.where(shop.population.present(4), shop.population.activity, 0)
    expected = rates @ shop.view_probabilities(users, 4)
    expected *= seen.sum() / expected.sum()
    kept = expected > 5
    # Looks of one visit share a mood, so they vary more than independent ones: at most 4 looks' worth more.
    assert ((seen - expected)[kept] ** 2 / expected[kept]).sum() < 6 * kept.sum()


@pytest.mark.slow
def test_purchases_follow_the_truth(shop: Shop, days: list[DayEvents]) -> None:
    window = range(60, 90)
    bought = sum(int((days[day].types == PURCHASE).sum()) for day in window)
    expected = sum(
        shop.expected_purchases(np.arange(shop.n_users), day).sum() for day in (60, 65, 70, 75, 80, 85)
    )
    assert bought == pytest.approx(5 * expected, rel=0.15)


def test_size_and_funnel_are_as_configured(shop: Shop, days: list[DayEvents]) -> None:
    counts = np.sum([np.bincount(day.types, minlength=len(EVENT_TYPES)) for day in days], axis=0)
    assert counts.sum() == pytest.approx(shop.config.events_per_day * shop.config.n_days, rel=0.15)
    views, carts, _ = counts
    assert 0.05 < carts / views < 0.25


def test_affinity_is_of_low_rank(shop: Shop) -> None:
    truth = shop.affinity(np.arange(300), np.arange(400))
    assert truth.shape == (300, 400)
    assert np.linalg.matrix_rank(truth, tol=1e-3) <= shop.config.tastes


def test_popularity_is_skewed(days: list[DayEvents]) -> None:
    counts = np.sort(np.bincount(np.concatenate([day.items for day in days])))[::-1]
    assert counts[: len(counts) // 5].sum() > 0.55 * counts.sum()


def test_categories_have_seasons() -> None:
    config = ShopConfig(
        n_days=365, n_users=20, n_items=500, items_launched_per_day=0, items_withdrawn_per_day=0
    )
    shop = Shop(config)
    for number, category in enumerate(CATEGORIES):
        mine = shop.catalogue.categories == number
        curve = [shop.catalogue.attraction_on(day)[mine].sum() for day in range(365)]
        assert abs(int(np.argmax(curve)) + 1 - category.peak_day) <= 1


def test_users_and_items_come_and_go(shop: Shop, days: list[DayEvents]) -> None:
    for arrival in (shop.population.arrival, shop.catalogue.arrival):
        assert 0.05 < (arrival > 0).mean() < 0.6
    for departure in (shop.population.departure, shop.catalogue.departure):
        assert (departure < shop.config.n_days).any()
    for number, day in enumerate(days):
        assert shop.population.present(number)[day.users].all()
        assert (shop.catalogue.attraction_on(number)[day.items] > 0).all()


def test_repeat_purchases_exist_and_are_of_consumables(shop: Shop, days: list[DayEvents]) -> None:
    pairs = Counter(
        pair
        for day in days
        for pair in zip(day.users[day.types == PURCHASE], day.items[day.types == PURCHASE], strict=True)
    )
    often = [item for (_, item), times in pairs.items() if times >= 4]
    consumable = np.array([category.consumable for category in CATEGORIES])[shop.catalogue.categories[often]]
    assert len(often) > 100
    assert consumable.mean() > 0.9


def test_ids_and_times() -> None:
    assert user_ids(np.array([7])).to_pylist() == ["u0000007"]
    assert item_ids(np.array([12_345_678])).to_pylist() == ["i12345678"]
    first = everything(Shop(SMALL)).slice(0, 1).to_pylist()[0]
    assert first["event_id"] == "e20250101-0000000"
    assert datetime(2025, 1, 1, tzinfo=UTC) <= first["occurred_at"] < datetime(2025, 1, 2, tzinfo=UTC)


class Period(NamedTuple):
    """What was known before the horizon, and which pairs came after it."""

    seen: NDArray[np.float64]
    recent: NDArray[np.float64]
    after: NDArray[np.bool_]


@pytest.fixture(scope="module")
def period(shop: Shop, days: list[DayEvents]) -> Period:
    shape = (shop.n_users, shop.n_items)
    seen, recent, after = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
    cut = shop.config.n_days - HORIZON
    for number, day in enumerate(days):
        if number >= cut:
            after[day.users, day.items] = True
        else:
            seen[day.users, day.items] = 1
            recent[day.users, day.items] = max(0.5 ** ((cut - number) / 14), 1e-9)
    evaluated = after.any(axis=1) & seen.any(axis=1)
    return Period(seen[evaluated], recent[evaluated], after[evaluated])


def recall(period: Period, scores: NDArray[np.float64], *, new: bool) -> float:
    """Recall@10 with min(|R|, 10) below the line; among items new to the user only, if asked."""
    had = period.seen > 0
    wanted = period.after & ~had if new else period.after
    scores = np.where(had, -np.inf, scores) if new else np.broadcast_to(scores, had.shape)
    best = np.argpartition(-scores, 10, axis=1)[:, :10]
    found = np.take_along_axis(wanted, best, axis=1).sum(axis=1)
    evaluated = wanted.any(axis=1)
    return float((found / np.minimum(wanted.sum(axis=1), 10).clip(1))[evaluated].mean())


def neighbours(period: Period) -> NDArray[np.float64]:
    """Item-item cosine with shrinkage: the plainest collaborative model."""
    together = period.seen.T @ period.seen
    norms = np.sqrt(np.diag(together) + 5)
    np.fill_diagonal(together, 0)
    scores: NDArray[np.float64] = period.seen @ (together / np.outer(norms, norms))
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("new", [True, False])
def test_models_stand_in_the_order_that_theory_gives(period: Period, new: bool) -> None:
    chance = np.random.default_rng(0).random(period.seen.shape)
    by_chance = recall(period, chance, new=new)
    popular = recall(period, period.seen.sum(axis=0), new=new)
    trending = recall(period, period.recent.sum(axis=0), new=new)
    collaborative = recall(period, neighbours(period), new=new)
    assert popular > 3 * by_chance
    assert trending > 1.03 * popular
    assert collaborative > 1.25 * popular


def test_repeats_have_a_higher_recall_where_they_are_allowed(period: Period) -> None:
    assert recall(period, period.recent, new=False) > recall(period, period.seen.sum(axis=0), new=False)
