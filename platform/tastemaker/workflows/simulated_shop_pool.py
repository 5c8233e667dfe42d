"""Users of the simulated shop as a pool of units: each version answers them, and they react by chance.

What a user does depends on the shop's truth alone (`tastemaker.simulator.traffic.click_model`), so that the
true effect is known: no log is read. Lists are those that the service would show. Users come as often as they
did before, whatever they are shown; what a version would learn during the experiment is not simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.api.schemas import Request
from tastemaker.experiments.analysis.unit_table import Int64
from tastemaker.experiments.unit_metrics import events_column
from tastemaker.problem import ProblemSpec
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.simulator.shop.choice_model import chances, utility
from tastemaker.simulator.shop.day import relative_affinity
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.audience import Audience, TrafficMix
from tastemaker.simulator.traffic.click_model import click_chances, examination
from tastemaker.simulator.traffic.page import item_id
from tastemaker.stats.unit_summary import Float64

EVENT_TYPES = ("view", "cart", "purchase")
"""What users of the shop do, each only after the one before."""
USERS = 1_000
"""Users of the shop that a pool is made of."""
_AT_ONCE = 50

OfflinePredictor = Callable[[Sequence[str]], Predictor]
"""Opens a version for some users' ids."""


class ListsOfVersion(NamedTuple):
    """The lists of one version for all visits, and what may come of them; 0 where a list has no item."""

    items: Int64
    """int64[visits, k]: numbers of items, −1 where there is none."""
    chances: Float64
    """float64[3, visits, k]: P(view), P(cart | view), P(purchase | cart)."""
    prices: Float64
    """float64[visits, k]"""

    @property
    def shown(self) -> Int64:
        """int64[visits]: the lengths of the lists."""
        lengths: Int64 = (self.items >= 0).sum(axis=1)
        return lengths


class ShopPool:
    """Users of the shop's first live day with their visits, and the lists of each variant for these."""

    def __init__(
        self,
        shop: Shop,
        problem: ProblemSpec,
        predictors: Sequence[OfflinePredictor],
        *,
        control: int,
        window_days: float,
        users: int = USERS,
        seed: int = 0,
    ) -> None:
        """Draw the users and their visits, and ask every version for its lists.

        Args:
            shop: The shop, on the last day of its data.
            problem: Gives each event type its reward.
            predictors: Open the versions, one per variant, in the order of the design.
            control: The number of the control variant.
            window_days: How long a unit's visits count.
            users: How many users to draw, with replacement.
            seed: Of users and visits.
        """
        rng = np.random.default_rng(seed)
        self._k, self._control = problem.placement.k, control
        self._audience = Audience(shop, TrafficMix())
        self._users, self._visits = _drawn_visits(self._audience, users, window_days, rng)
        self._first = np.concatenate([[0], np.cumsum(self._visits)[:-1]])
        self.visiting_users = np.repeat(self._users, self._visits)
        """int64[visits]: the numbers of the users."""
        self.lists = [self._answered(one(self._ids())) for one in predictors]
        self._rewards = {name: _reward(problem, name) for name in EVENT_TYPES}

    def draw(self, variant: Int64, rng: np.random.Generator) -> dict[str, Float64]:
        """Return columns of units, as in `UnitPool`; what they did before was under control.

        Args:
            variant: int64[n]: the number of each unit's variant, in the order of the predictors.
            rng: The source of chance.

        Returns:
            Name -> float64[n]: columns of n units, drawn with replacement.
        """
        users = rng.integers(len(self._users), size=len(variant))
        columns = self._lived(users, variant, rng)
        before = self._lived(users, np.full_like(variant, self._control), rng)
        return columns | {
            "reward_before": before["reward"],
            "lists_before": before["lists"],
            "is_unknown": np.zeros(len(variant)),
        }

    def _lived(self, users: Int64, variant: Int64, rng: np.random.Generator) -> dict[str, Float64]:
        """Return what users do in one window."""
        lengths = self._visits[users]
        unit = np.repeat(np.arange(len(users)), lengths)
        within = np.arange(len(unit)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        visit = np.repeat(self._first[users], lengths) + within
        of_variant = variant[unit]
        happened = rng.random((3, len(visit), self._k))
        counts, reward, items = np.zeros((3, len(visit))), np.zeros(len(visit)), np.zeros(len(visit))
        rewarded_items = np.zeros(len(visit))
        for number, lists in enumerate(self.lists):
            rows = np.flatnonzero(of_variant == number)
            own = visit[rows]
            came = np.logical_and.accumulate(happened[:, rows] < lists.chances[:, own], axis=0)
            earned = self._earned(came, lists.prices[own])
            counts[:, rows], reward[rows] = came.sum(axis=2), earned.sum(axis=1)
            items[rows], rewarded_items[rows] = lists.shown[own], (earned != 0).sum(axis=1)
        return self._by_unit(unit, len(users), counts, reward, items, rewarded_items)

    def _earned(self, came: NDArray[np.bool_], prices: Float64) -> Float64:
        """Return float64[visits, k]: the reward of what came of each item."""
        earned = np.zeros(prices.shape)
        for place, name in enumerate(EVENT_TYPES):
            flat, by_value = self._rewards[name]
            value = prices if name == "purchase" else 1.0
            earned += came[place] * (flat + by_value * value)
        return earned

    def _by_unit(
        self,
        unit: Int64,
        n: int,
        counts: Float64,
        reward: Float64,
        items: Float64,
        rewarded_items: Float64,
    ) -> dict[str, Float64]:
        def total(values: Float64) -> Float64:
            return np.bincount(unit, values, minlength=n).astype(np.float64)

        rewards = total(reward)
        columns = {
            "reward": rewards,
            "list_reward": rewards,
            "is_active": (total(rewarded_items) > 0).astype(np.float64),
            "lists": total(np.ones(len(unit))),
            "items": total(items),
            "rewarded_lists": total((rewarded_items > 0).astype(np.float64)),
            "rewarded_items": total(rewarded_items),
            "empty_lists": total((items == 0).astype(np.float64)),
            "short_lists": total((items < self._k).astype(np.float64)),
        }
        none = dict.fromkeys(("fallback_lists", "slow_lists", "wrong_version_lists"), np.zeros(n))
        events = {events_column(name): total(counts[place]) for place, name in enumerate(EVENT_TYPES)}
        return columns | none | events

    def _ids(self) -> list[str]:
        return [f"u{one:07d}" for one in self._users.tolist()]

    def _answered(self, predictor: Predictor) -> ListsOfVersion:
        """Return the lists of a version for all visits, as the service would show them."""
        numbers = {item_id(one): one for one in range(len(self._audience.catalogue))}
        now = predictor.loaded.manifest.created_at.timestamp()
        items = np.full((len(self.visiting_users), self._k), -1, np.int64)
        for start in range(0, len(items), _AT_ONCE):
            asks = [
                InferenceRequest(Request(f"u{user:07d}", self._k), f"{start + row:032x}", now)
                for row, user in enumerate(self.visiting_users[start : start + _AT_ONCE].tolist())
            ]
            for row, result in enumerate(predictor.recommend(asks)):
                found = [numbers[one.item_id] for one in result.answer.items]
                items[start + row, : len(found)] = found
        return self._reactions(items)

    def _reactions(self, items: Int64) -> ListsOfVersion:
        """Return the shop's truth about lists (int64[visits, k], −1 where there is no item)."""
        catalogue, day, known = self._audience.catalogue, self._audience.day, items >= 0
        chosen = np.where(known, items, 0)
        users = np.repeat(self.visiting_users, self._k)
        affinity = relative_affinity(self._audience.population, catalogue, users, chosen.ravel())
        affinity = affinity.reshape(items.shape)
        later = chances(utility(affinity, (catalogue.prices / catalogue.usual_prices)[chosen]))
        offered = (catalogue.arrival[chosen] <= day) & (day < catalogue.departure[chosen])
        seen = examination(self._k) * click_chances(affinity) * known
        came = np.stack([seen, later.cart * offered, np.broadcast_to(later.purchase, items.shape)])
        return ListsOfVersion(items, came, catalogue.prices[chosen])


def _drawn_visits(
    audience: Audience, users: int, window_days: float, rng: np.random.Generator
) -> tuple[Int64, Int64]:
    """Return users who come, and how often each does in a window from the first visit on.

    Whoever comes more often is more likely among those who come at all.
    """
    present = np.flatnonzero(audience.population.present(audience.day))
    activity = audience.population.activity[present]
    visits = audience.visits_per_day * window_days * activity / activity.sum()
    comes = 1 - np.exp(-visits)
    chosen = rng.choice(len(present), users, p=comes / comes.sum())
    return present[chosen], 1 + rng.poisson(visits[chosen])


def _reward(problem: ProblemSpec, event_type: str) -> tuple[float, float]:
    """Return what an event earns, and what it earns per unit of its value."""
    flat = by_value = 0.0
    for objective in problem.objectives:
        if (reward := objective.events.get(event_type)) is not None:
            earned = objective.share * reward.weight
            flat, by_value = (flat, by_value + earned) if reward.by_value else (flat + earned, by_value)
    return flat, by_value
