"""The people of a simulated shop on its live days: who comes, what they make of a list, who stays away.

No HTTP here. The shop continues where its training events ended: the same seed makes the same users, items
and tastes under the same ids, and who joins or is launched on a later day is who would have been in a longer
shop. A day is as many visits as the shop has on an ordinary one, however fast they come.

Every visit has a random stream of its own, by its number: the same lists get the same reactions. Only who is
still there when several visits overlap depends on which answer came first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.simulator.shop.choice_model import chances, utility
from tastemaker.simulator.shop.day import relative_affinity
from tastemaker.simulator.shop.random_streams import Stream, dirichlet, draw_items, draw_tastes, stream
from tastemaker.simulator.shop.shifts import shifted
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.click_model import click_chances, examination, leave_chance

HORIZON_DAYS = 366
"""How long the shop continues after its training events; its last day has no end."""
BOTS = 5
_BROWSED = 3
"""The maximal number of items that an anonymous user viewed before the list."""
_ATTEMPTS = 1_000


class Kind(StrEnum):
    """The kind of a visit."""

    MEMBER = "member"
    ANONYMOUS = "anonymous"
    """A member who has not signed in: the shop only knows what was looked at just before."""
    BOT = "bot"
    """A program that opens everything and buys nothing."""


@dataclass(frozen=True)
class TrafficMix:
    """The composition of the traffic, besides the shop's own nature. Shares are from 0 to 1."""

    seed: int = 0
    anonymous: float = 0.1
    """Share of visits."""
    bots: float = 0.0
    """Share of visits."""
    drift: float = 0.0
    """Share of the users whose tastes change altogether, each day."""


class Visit(NamedTuple):
    """A visit of a user or a bot to the shop."""

    number: int
    day: int
    """Of the shop; its first live day is `config.n_days`."""
    kind: Kind
    user: int
    """The user's number, also where the request is anonymous; a bot's number."""
    browsed: NDArray[np.int64]
    """Items viewed before the list, oldest first; of an anonymous user only."""
    rng: np.random.Generator


class Reaction(NamedTuple):
    """An action of a user on an item of a list."""

    position: int
    item: int
    event_type: str
    value: float


class Audience:
    """The users of a simulated shop on its live days, and their reactions to lists. Not thread-safe.

    Call `arrive` for the next visit, `react` with its list, and `stay` with its number of clicks.

    Args:
        shop: The shop; its first live day is the one after its data ends. It is not changed.
        nature: The composition of the traffic, and its seed.
    """

    def __init__(self, shop: Shop, nature: TrafficMix) -> None:
        self.first_day = shop.config.n_days
        self.shop = Shop(shop.config.model_copy(update={"n_days": self.first_day + HORIZON_DAYS}))
        self.nature = nature
        self._lasting = self.shop.population
        """The users with the tastes that they have changed to, without the shop's shifts."""
        self.population = self.shop.population
        """The users as they are today."""
        self.catalogue = self.shop.catalogue
        """The items as they are today."""
        self.gone = np.zeros(len(self.population), np.bool_)
        """bool[n]: who was served badly once too often."""
        active = self.population.activity[self.population.present(self.first_day)].sum()
        self.visits_per_day = max(1, round(self.shop.traffic.visits_per_day * float(active)))
        self._examination = examination(1_000)
        self._number = 0
        self._open(self.first_day)

    def arrive(self) -> Visit | None:
        """Return the next visit; None if no user is left."""
        number, self._number = self._number, self._number + 1
        day = self.first_day + min(number // self.visits_per_day, HORIZON_DAYS - 1)
        while self.day < day:
            self._open(self.day + 1)
        rng = stream(self.nature.seed, Stream.LIVE_VISIT, number)
        who = rng.random()
        nothing = np.empty(0, np.int64)
        if who < self.nature.bots:
            return Visit(number, day, Kind.BOT, int(rng.integers(BOTS)), nothing, rng)
        user = self._draw_user(rng)
        if user is None:
            return None
        if who < self.nature.bots + self.nature.anonymous and self._appeal.any():
            return Visit(number, day, Kind.ANONYMOUS, user, self._browse(user, rng), rng)
        return Visit(number, day, Kind.MEMBER, user, nothing, rng)

    def react(self, visit: Visit, items: NDArray[np.int64]) -> list[Reaction]:
        """Return the reactions of the user to a list, in their order in time.

        Args:
            visit: The visit, whose source of chance is used; a bot views every item.
            items: int64[k], the items of the list, best first.
        """
        if visit.kind is Kind.BOT:
            return [Reaction(place, item, "view", 1.0) for place, item in enumerate(items.tolist())]
        affinity = self._affinity(visit.user, items)
        seen, clicked, carted, bought = visit.rng.random((4, len(items)))
        clicks = (seen < self._examination[: len(items)]) & (clicked < click_chances(affinity))
        later = chances(utility(affinity, self._ratio[items]))
        carts = clicks & (carted < later.cart) & self.on_offer(items)
        purchases = carts & (bought < later.purchase)
        reactions = []
        for place in np.flatnonzero(clicks).tolist():
            item = int(items[place])
            reactions.append(Reaction(place, item, "view", 1.0))
            if carts[place]:
                reactions.append(Reaction(place, item, "cart", 1.0))
            if purchases[place]:
                reactions.append(Reaction(place, item, "purchase", float(self._prices[item])))
        return reactions

    def stay(self, visit: Visit, clicks: int) -> bool:
        """Return whether the user stays with the shop after a visit.

        Args:
            visit: The visit, after `react`; a bot always stays.
            clicks: The number of clicks; 0 for a user who got no list.
        """
        if visit.kind is Kind.BOT or visit.rng.random() >= leave_chance(clicks) or self.gone[visit.user]:
            return True
        self.gone[visit.user] = True
        return False

    def expected_clicks(self, user: int, items: NDArray[np.int64]) -> float:
        """Return the true expected number of clicks of a user on a list, today.

        Args:
            user: The user's number.
            items: int64[k], the items of the list, best first; at most 1,000.
        """
        chance = click_chances(self._affinity(user, items))
        return float(self._examination[: len(items)] @ chance)

    def on_offer(self, items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return bool[n]: which items are sold today."""
        return (self.catalogue.arrival[items] <= self.day) & (self.day < self.catalogue.departure[items])

    def launched(self, day: int) -> NDArray[np.int64]:
        """Return the items that are new on a day."""
        return np.flatnonzero(self.shop.catalogue.arrival == day)

    def withdrawn(self, day: int) -> NDArray[np.int64]:
        """Return the items whose first day off sale is `day`."""
        return np.flatnonzero(self.shop.on(day)[0].departure == day)

    def repriced(self, day: int) -> NDArray[np.int64]:
        """Return the items on offer whose price on a day is not that of the day before."""
        catalogue, before = (self.shop.on(one)[0] for one in (day, day - 1))
        offered = (catalogue.arrival < day) & (day < catalogue.departure)
        return np.flatnonzero(offered & (catalogue.prices != before.prices))

    @property
    def _prices(self) -> NDArray[np.float64]:
        return self.catalogue.prices

    def _open(self, day: int) -> None:
        """Begin a day: who may come, what is on offer, whose tastes have changed."""
        self.day = day
        if self.nature.drift:
            rng = stream(self.nature.seed, Stream.LIVE_DRIFT, day)
            changed = rng.random(len(self._lasting)) < self.nature.drift
            config, tastes = self.shop.config, self._lasting.tastes.copy()
            alpha = np.full((int(changed.sum()), config.tastes), config.taste_concentration)
            tastes[changed] = dirichlet(rng, alpha)
            self._lasting = replace(self._lasting, tastes=tastes)
        self.catalogue, self.population = shifted(self.shop.config, self.shop.catalogue, self._lasting, day)
        self._ratio = self.catalogue.prices / self.catalogue.usual_prices
        self._appeal = self.catalogue.appeal_on(day)
        self._count()

    def _count(self) -> None:
        """Compute the weights of today's users who have not left for good."""
        there = self.population.present(self.day) & ~self.gone
        self._weights = np.cumsum(np.where(there, self.population.activity, 0.0))

    def _draw_user(self, rng: np.random.Generator) -> int | None:
        """Draw a user who is still there, in proportion to how often each comes; None if all have left."""
        while self._weights[-1] > 0:
            for _ in range(_ATTEMPTS):
                user = int(np.searchsorted(self._weights, rng.random() * self._weights[-1], side="right"))
                if not self.gone[user]:
                    return user
            self._count()  # nearly all have left since the morning
        return None

    def _browse(self, user: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the items that a user looked at, with one taste, as on the shop's ordinary days."""
        n = int(rng.integers(1, _BROWSED + 1))
        mood = draw_tastes(self.population.tastes[[user]], rng.random(1))
        return draw_items(self._appeal, np.repeat(mood, n), rng.random(n))

    def _affinity(self, user: int, items: NDArray[np.int64]) -> NDArray[np.float64]:
        users = np.full(len(items), user)
        return relative_affinity(self.population, self.catalogue, users, items)
