"""The users of a simulated shop: their tastes, how often they come, when they join and leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tastemaker.simulator.shop.catalogue import CATEGORIES, ShopCatalogue
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.random_streams import (
    Stream,
    arrival_days,
    departure_days,
    dirichlet,
    draw_items,
    draw_tastes,
    seniority_days,
    stream,
)

COUNTRIES = (("GB", 0.62), ("DE", 0.12), ("FR", 0.1), ("IE", 0.06), ("NL", 0.05), ("ES", 0.03), ("NO", 0.02))
"""Country and its share of the users."""

SHORTEST_TEMPO_DAYS, LONGEST_TEMPO_DAYS = 10, 45


@dataclass(frozen=True, eq=False)
class Staples:
    """Consumables that users buy again and again, one entry per pair of a user and an item."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    tempos: NDArray[np.int64]
    """Days from one purchase to the next."""
    phases: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Population:
    """The users of a simulated shop, one entry per user, in the order of their arrival."""

    tastes: NDArray[np.float32]
    """θ, float32[n, Z]: how each user mixes the tastes; rows add up to 1."""
    activity: NDArray[np.float64]
    """float64[n]: how often each user comes, relative to the mean user."""
    countries: NDArray[np.int64]
    """int64[n]: index into COUNTRIES."""
    arrival: NDArray[np.int64]
    """First day as a user; 0 for those who were there before."""
    departure: NDArray[np.int64]
    """First day no longer a user."""
    first_seen: NDArray[np.int64]
    """int64[n]: the day of the sign-up; negative before the start."""
    staples: Staples

    @classmethod
    def draw(cls, config: ShopConfig, catalogue: ShopCatalogue) -> Population:
        """Draw the users of a shop.

        Args:
            config: The shop's config.
            catalogue: The shop's items, from which the users' staples are drawn.

        Returns:
            The users of all days, in the order of their arrival.
        """
        seed = config.seed
        per_day = config.users_joining_per_day * config.n_users
        arrival = arrival_days(stream(seed, Stream.USER_ARRIVALS), config.n_users, per_day, config.n_days)
        n = len(arrival)
        shares = np.cumsum([share for _, share in COUNTRIES])
        uniform = stream(seed, Stream.USER_COUNTRIES).random(n)
        tastes = dirichlet(
            stream(seed, Stream.USER_TASTES), np.full((n, config.tastes), config.taste_concentration)
        )
        return cls(
            tastes=tastes,
            activity=stream(seed, Stream.USER_ACTIVITY).standard_gamma(0.8, n) / 0.8,
            countries=np.minimum(np.searchsorted(shares, uniform), len(COUNTRIES) - 1),
            arrival=arrival,
            departure=departure_days(
                stream(seed, Stream.USER_LIFETIMES), arrival, config.users_leaving_per_day
            ),
            first_seen=seniority_days(stream(seed, Stream.USER_SENIORITY), arrival),
            staples=_draw_staples(config, catalogue, tastes),
        )

    def __len__(self) -> int:
        return len(self.activity)

    def present(self, day: int) -> NDArray[np.bool_]:
        """Return bool[n]: whether each user is a user of the shop on a day."""
        return (self.arrival <= day) & (day < self.departure)


def _draw_staples(config: ShopConfig, catalogue: ShopCatalogue, tastes: NDArray[np.float32]) -> Staples:
    """Draw each owner's staples, by taste, from the consumables of the first day."""
    seed, shape = config.seed, (len(tastes), config.staples)
    consumable = np.array([category.consumable for category in CATEGORIES])
    stock = np.flatnonzero(consumable[catalogue.categories[: config.n_items]])
    owner = stream(seed, Stream.STAPLE_OWNERS).random(len(tastes)) < config.staple_share
    taste_uniform = stream(seed, Stream.STAPLE_TASTES).random(shape)
    item_uniform = stream(seed, Stream.STAPLE_ITEMS).random(shape)
    rng = stream(seed, Stream.STAPLE_TEMPOS)
    spread = rng.integers((SHORTEST_TEMPO_DAYS, 0), (LONGEST_TEMPO_DAYS + 1, 1 << 20), size=(*shape, 2))
    if not len(stock):
        owner[:] = False
    users, slots = np.nonzero(np.broadcast_to(owner[:, None], shape))
    chosen = draw_items(
        catalogue.attraction[stock, None] * catalogue.tastes[stock],
        draw_tastes(tastes[users], taste_uniform[users, slots]),
        item_uniform[users, slots],
    )
    tempos, phases = spread[users, slots].T
    return Staples(users, stock[chosen], tempos, phases)
