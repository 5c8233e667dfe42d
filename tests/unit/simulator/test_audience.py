"""The people of the live shop: they repeat, follow their tastes and the place, and leave or stay."""

from __future__ import annotations

import numpy as np
import pytest

from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.audience import Audience, Kind, TrafficMix, Visit
from tastemaker.simulator.traffic.click_model import (
    LEAVE_CHANCE,
    LEAVE_DECAY,
    click_chances,
    examination,
    leave_chance,
)

CONFIG = ShopConfig(n_users=200, n_items=60, n_days=20, events_per_day=150, seed=3)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop(CONFIG)


def visits(audience: Audience, n: int) -> list[Visit]:
    """The next visits, which are shown nothing."""
    found = []
    for _ in range(n):
        visit = audience.arrive()
        assert visit is not None
        found.append(visit)
    return found


def test_behaviour_has_its_known_answers_and_directions() -> None:
    np.testing.assert_allclose(examination(3), [1, 2**-0.7, 3**-0.7])
    assert examination(10).sum() == pytest.approx(4, abs=0.1), "as many looks as a visit of the shop has"
    assert click_chances(np.array([1.0, 9.0])).tolist() == pytest.approx([0.1, 0.5])
    assert click_chances(np.array([0.0])) > 0
    assert leave_chance(0) == LEAVE_CHANCE
    assert leave_chance(2) == pytest.approx(LEAVE_CHANCE * LEAVE_DECAY**2)


def test_the_live_shop_is_the_shop_some_days_later(shop: Shop) -> None:
    audience = Audience(shop, TrafficMix())
    np.testing.assert_array_equal(audience.shop.catalogue.tastes[: shop.n_items], shop.catalogue.tastes)
    np.testing.assert_array_equal(audience.shop.population.tastes[: shop.n_users], shop.population.tastes)
    assert (audience.shop.population.arrival[shop.n_users :] >= CONFIG.n_days).all()
    assert len(audience.shop.catalogue) > shop.n_items, "items are launched on live days"
    days = {visit.day for visit in visits(audience, 5 * audience.visits_per_day)}
    assert days == set(range(CONFIG.n_days, CONFIG.n_days + 5))


def test_a_seed_repeats_and_another_seed_differs(shop: Shop) -> None:
    def diary(seed: int) -> list[tuple[object, ...]]:
        audience, items = Audience(shop, TrafficMix(seed=seed, bots=0.1)), np.arange(10)
        seen: list[tuple[object, ...]] = []
        for visit in visits(audience, 300):
            reactions = audience.react(visit, items)
            seen.append((visit.kind, visit.user, visit.browsed.tolist(), reactions))
            audience.stay(visit, len(reactions))
        return seen

    assert diary(1) == diary(1)
    assert diary(1) != diary(2)


def test_who_comes_is_there_and_comes_as_often_as_in_the_shop(shop: Shop) -> None:
    audience = Audience(shop, TrafficMix(anonymous=0))
    there = audience.population.present(CONFIG.n_days)
    counts = np.zeros(len(audience.population))
    for number in range(audience.visits_per_day):
        visit = audience.arrive()
        assert visit is not None
        assert there[visit.user]
        assert (visit.number, visit.kind) == (number, Kind.MEMBER)
        counts[visit.user] += 1
    weights = np.where(there, audience.population.activity, 0)
    lively = weights > np.quantile(weights, 0.9)
    share = weights[lively].sum() / weights.sum()
    deviation = np.sqrt(share * (1 - share) / counts.sum())
    assert counts[lively].sum() / counts.sum() == pytest.approx(share, abs=4 * deviation)


def test_kinds_have_their_shares(shop: Shop) -> None:
    found = visits(Audience(shop, TrafficMix(anonymous=0.3, bots=0.2)), 2_000)
    kinds = [visit.kind for visit in found]
    assert kinds.count(Kind.BOT) / 2_000 == pytest.approx(0.2, abs=0.04)
    assert kinds.count(Kind.ANONYMOUS) / 2_000 == pytest.approx(0.3, abs=0.04)
    assert all(bool(len(visit.browsed)) == (visit.kind is Kind.ANONYMOUS) for visit in found)


def test_clicks_follow_the_truth_and_its_best_list_is_the_best(shop: Shop) -> None:
    """Mean clicks over many visits of one user against the closed form."""
    audience = Audience(shop, TrafficMix(anonymous=0))
    (template,) = visits(audience, 1)
    user, everything = template.user, np.arange(shop.n_items)
    order = np.argsort(-shop.affinity(np.array([user]), everything)[0], kind="stable")
    best, worst = order[:10], order[::-1][:10]
    rng = np.random.default_rng(0)
    clicks = [
        sum(one.event_type == "view" for one in audience.react(template._replace(rng=rng), best))
        for _ in range(3_000)
    ]
    expected = audience.expected_clicks(user, best)
    assert np.mean(clicks) == pytest.approx(expected, abs=4 * np.std(clicks) / np.sqrt(len(clicks)))
    assert expected > audience.expected_clicks(user, best[::-1]) > audience.expected_clicks(user, worst)


def test_a_purchase_has_a_cart_and_a_cart_has_a_view(shop: Shop) -> None:
    audience = Audience(shop, TrafficMix(anonymous=0))
    kinds: dict[str, int] = {}
    for visit in visits(audience, 3_000):
        reactions = audience.react(visit, np.arange(30))
        done = {(one.event_type, one.position) for one in reactions}
        for event_type, position in done:
            assert event_type == "view" or ("view", position) in done
            assert event_type != "purchase" or ("cart", position) in done
        assert all(one.item == one.position for one in reactions)
        for one in reactions:
            kinds[one.event_type] = kinds.get(one.event_type, 0) + 1
            if one.event_type == "purchase":
                assert one.value == shop.catalogue.prices[one.item]
    assert kinds["view"] > kinds["cart"] > kinds["purchase"] > 0


def test_what_is_not_on_offer_is_not_bought(shop: Shop) -> None:
    audience = Audience(shop, TrafficMix(anonymous=0))
    off = np.flatnonzero(audience.shop.catalogue.departure <= CONFIG.n_days)
    assert len(off)
    assert not audience.on_offer(off).any()
    reactions = [one for visit in visits(audience, 2_000) for one in audience.react(visit, np.repeat(off, 5))]
    assert {one.event_type for one in reactions} == {"view"}


def test_bots_open_everything_and_never_leave(shop: Shop) -> None:
    audience = Audience(shop, TrafficMix(bots=1.0))
    for visit in visits(audience, 20):
        reactions = audience.react(visit, np.array([5, 3]))
        assert [(one.position, one.item, one.event_type) for one in reactions] == [
            (0, 5, "view"),
            (1, 3, "view"),
        ]
        assert audience.stay(visit, 0)


def test_badly_served_people_leave_and_do_not_come_back(shop: Shop) -> None:
    def left(clicks: int) -> set[int]:
        audience, gone = Audience(shop, TrafficMix()), set()
        for _ in range(2_000):
            visit = audience.arrive()
            if visit is None:
                break
            assert visit.user not in gone
            if not audience.stay(visit, clicks):
                gone.add(visit.user)
        return gone

    assert len(left(0)) > 5 * len(left(3))


def test_the_audience_may_run_out(shop: Shop) -> None:
    audience = Audience(
        Shop(CONFIG.model_copy(update={"n_users": 2, "users_joining_per_day": 0.0})), TrafficMix()
    )
    audience.gone[:] = True
    audience._count()
    assert audience.arrive() is None


def test_drift_changes_some_tastes_a_day_and_only_then(shop: Shop) -> None:
    before = Audience(shop, TrafficMix()).population.tastes
    drifting = Audience(shop, TrafficMix(drift=0.25))
    changed = (drifting.population.tastes != before).any(axis=1).mean()
    assert changed == pytest.approx(0.25, abs=0.1)
    np.testing.assert_allclose(drifting.population.tastes.sum(axis=1), 1, rtol=1e-4)
    still = drifting.population.tastes
    visits(drifting, drifting.visits_per_day)
    assert drifting.population.tastes is still
    visits(drifting, 1)
    assert 0.1 < (drifting.population.tastes != still).any(axis=1).mean() < 0.4
