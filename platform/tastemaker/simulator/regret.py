"""What a policy loses in the shop while it learns there: the truth is known, so regret can be computed.

    regret(T) = Σ over t ≤ T of  max over lists E[rewards | u_t, list] - E[rewards | u_t, list shown]
    E[rewards | u, list] = Σ_p P(examined at p) · P(reward | u, i_p, examined)

Users come in proportion to their activity and react to lists as in `traffic.audience`. A reward is a click,
which in this shop depends on how well tastes fit alone, so that no list is better than others for all users;
or a click that leads to a cart, which also depends on the price. It is the regret of expectations, not of
rewards: the same users and random numbers for every policy, and 0 for the oracle exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tastemaker.plugins import Batch, Events, Feedback, History, Ranking, TrainingData
from tastemaker.simulator.shop.choice_model import chances, utility
from tastemaker.simulator.shop.day import relative_affinity
from tastemaker.simulator.shop.random_streams import Stream, stream
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.click_model import Floats, click_chances, examination
from tastemaker.util.durations import DAY_SECONDS

Decide = Callable[[Batch, int], Ranking]
Learn = Callable[[Feedback], object]
Reward = Literal["click", "cart"]
SECONDS_BETWEEN = 60
"""The time between two requests."""


class Showroom:
    """A simulated shop after its last day, in which a policy chooses the lists that are shown.

    The catalogue does not change. Requests have the user's tastes as their context, which a policy may use or
    not.
    """

    def __init__(self, shop: Shop, *, reward: Reward = "click", k: int = 5, at_once: int = 20) -> None:
        """Open a shop to a policy.

        Args:
            shop: The shop; its last day is the day of all requests.
            reward: What is rewarded: a click, or a click that leads to a cart.
            k: The length of the lists.
            at_once: The number of requests per batch; their rewards are learned after all their lists.
        """
        self.shop, self.k, self.at_once, self._reward = shop, k, at_once, reward
        last = shop.config.n_days - 1
        self.on_offer: NDArray[np.bool_] = shop.catalogue.attraction_on(last) > 0
        """bool[n_items]"""
        self._present = np.flatnonzero(shop.population.present(last))

    @cached_property
    def data(self) -> TrainingData:
        """The shop's events until now: everything that users looked at, put into the cart or bought."""
        days = [self.shop.draw_day(day) for day in range(self.shop.config.n_days)]
        midnight = int(datetime.combine(self.shop.config.start, time(), UTC).timestamp())
        events = Events(
            np.concatenate([day.users for day in days]).astype(np.int32),
            np.concatenate([day.items for day in days]).astype(np.int32),
            np.ones(sum(len(day.users) for day in days), np.float32),
            np.concatenate(
                [midnight + DAY_SECONDS * n + day.microseconds // 1_000_000 for n, day in enumerate(days)]
            ),
        )
        end = midnight + DAY_SECONDS * self.shop.config.n_days
        return TrainingData(
            events, self.shop.n_users, self.shop.n_items, end=end, k=self.k, available=self.on_offer
        )

    def reward_chances(self, users: NDArray[np.int64]) -> Floats:
        """Return float64[n, n_items]: P(reward | examined); 0 for an item that is not on offer."""
        catalogue, items = self.shop.catalogue, np.arange(self.shop.n_items)
        pairs = np.repeat(users, len(items)), np.tile(items, len(users))
        affinity = relative_affinity(self.shop.population, catalogue, *pairs).reshape(len(users), len(items))
        rewarded = click_chances(affinity)
        if self._reward == "cart":
            rewarded *= chances(utility(affinity, catalogue.prices / catalogue.usual_prices)).cart
        return rewarded * self.on_offer

    def oracle(self, batch: Batch, k: int) -> Ranking:
        """Return the lists of a policy that knows the tastes: items by descending chance of a reward.

        Args:
            batch: n requests.
            k: The length of the lists.
        """
        rates = self.reward_chances(batch.users.astype(np.int64))
        items = np.argsort(-rates, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(rates, items, axis=1).astype(np.float32)
        return Ranking(items.astype(np.int32), scores, np.ones(items.shape, np.float32))

    def regret(self, decide: Decide, requests: int, learn: Learn | None = None) -> Floats:
        """Return the cumulative regret of a policy, as the module defines it.

        Args:
            decide: The policy: returns the ranking of a batch, for a length of the lists.
            requests: The number of requests.
            learn: Called with the feedback to each batch.

        Returns:
            float64[requests], in rewards.
        """
        rng = stream(self.shop.config.seed, Stream.SHOWROOM)
        activity = self.shop.population.activity[self._present]
        drawn = rng.choice(self._present, requests, p=activity / activity.sum())
        looked, lost = examination(self.k), np.empty(requests)
        for start in range(0, requests, self.at_once):
            users = drawn[start : start + self.at_once]
            batch, coins = self._batch(users, rng, start), rng.random((len(users), self.k))
            items = decide(batch, self.k).items.astype(np.int64)
            rates = self.reward_chances(users)
            rewarded = np.where(items >= 0, np.take_along_axis(rates, items, axis=1), 0.0) * looked
            best = -np.sort(-rates, axis=1)[:, : self.k] @ looked
            lost[start : start + len(users)] = best - rewarded.sum(axis=1)
            if learn is not None:
                learn(_feedback(batch, items, coins < rewarded))
        return np.cumsum(lost)

    def _batch(self, users: NDArray[np.int64], rng: np.random.Generator, start: int) -> Batch:
        return Batch(
            users=users.astype(np.int32),
            history=History.empty(len(users), self.shop.n_items),
            seeds=rng.integers(2**63, size=len(users), dtype=np.uint64),
            now=self.data.end + start * SECONDS_BETWEEN,
            available=self.on_offer,
            context=self.shop.population.tastes[users],
        )


def _feedback(batch: Batch, items: NDArray[np.int64], rewarded: NDArray[np.bool_]) -> Feedback:
    n, k = items.shape
    return Feedback(
        users=np.repeat(batch.users, k),
        items=items.ravel().astype(np.int32),
        positions=np.tile(np.arange(k, dtype=np.int32), n),
        rewards=rewarded.ravel().astype(np.float32),
        propensities=np.ones(n * k, np.float32),
        times=np.full(n * k, batch.now, np.int64),
        context=np.repeat(batch.context, k, axis=0) if batch.context is not None else None,
    )
