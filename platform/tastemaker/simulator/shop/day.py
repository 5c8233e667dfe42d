"""One day of a simulated shop, drawn on its own: who comes, what they look at, what they buy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.simulator.shop.catalogue import ShopCatalogue
from tastemaker.simulator.shop.choice_model import ChoiceProbabilities, chances, utility
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.population import Population
from tastemaker.simulator.shop.random_streams import Stream, draw_items, draw_tastes, stream

EVENT_TYPES = ("view", "cart", "purchase")
VIEW, CART, PURCHASE = range(3)

LOOKS_PER_VISIT = 4.0
WEEKDAY_FACTORS = (0.95, 0.9, 0.9, 0.95, 1.05, 1.15, 1.1)
"""Visits from Monday to Sunday, relative to the mean day."""

_DAY_MICROSECONDS = 86_400_000_000
_SECOND = 1_000_000


class DayEvents(NamedTuple):
    """The events of one day of a simulated shop, oldest first.

    Users and items are numbers; types are indices into EVENT_TYPES.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    types: NDArray[np.int64]
    values: NDArray[np.float64]
    """Money for a purchase, else 1."""
    microseconds: NDArray[np.int64]
    """Since midnight UTC."""


class Looks(NamedTuple):
    """The looks of users at items, one entry per look."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    microseconds: NDArray[np.int64]


class DayTraffic(NamedTuple):
    """The rates that make a shop produce the number of events that its config asks for."""

    visits_per_day: float
    """Of the mean user, on the mean day."""
    staple_chance: float
    """That a staple whose turn it is is bought."""


def relative_affinity(
    population: Population, catalogue: ShopCatalogue, users: NDArray[np.int64], items: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return how much items appeal to users, relative to the mean item: θ_u·q_i / θ_u·E[q].

    Args:
        population: The users, with their tastes θ.
        catalogue: The items, with their tastes q.
        users: int64[n], user numbers.
        items: int64[n], item numbers.

    Returns:
        float64[n], one entry per pair; 1 where the item appeals to the user as the mean item does.
    """
    tastes = population.tastes[users]
    relative = np.einsum("nz,nz->n", tastes, catalogue.tastes[items]) / (tastes @ catalogue.mean_tastes)
    return np.asarray(relative, np.float64)


def calibrate(config: ShopConfig, catalogue: ShopCatalogue, population: Population) -> DayTraffic:
    """Return the traffic at which the first day's users and items produce `events_per_day` events.

    Args:
        config: The shop's config, with `events_per_day`.
        catalogue: The shop's items.
        population: The shop's users.
    """
    due_per_day = float(np.sum(1 / population.staples.tempos[population.staples.users < config.n_users]))
    staple_chance = min(0.9, 0.4 * config.events_per_day / due_per_day) if due_per_day else 0.0
    rng = stream(config.seed, Stream.CALIBRATION)
    users = rng.integers(config.n_users, size=5_000)
    tastes = draw_tastes(population.tastes[users], rng.random(5_000))
    items = draw_items(catalogue.appeal_on(0), tastes, rng.random(5_000))
    cart, purchase = _chances(catalogue, population, users, items)
    per_look = 1 + float(np.mean(cart * (1 + purchase)))
    browsing = config.events_per_day - staple_chance * due_per_day
    return DayTraffic(browsing / (per_look * LOOKS_PER_VISIT * config.n_users), staple_chance)


def draw_day(
    config: ShopConfig, catalogue: ShopCatalogue, population: Population, traffic: DayTraffic, day: int
) -> DayEvents:
    """Draw the events of one day: a pure function of its arguments.

    Memory grows with the day's events and with items times tastes.

    Args:
        config: The shop's config.
        catalogue: The shop's items.
        population: The shop's users.
        traffic: The rates of visits and of purchases of staples.
        day: The number of the day, 0 being the first.

    Returns:
        The views, carts and purchases of the day, in the order of their times.
    """
    rng = stream(config.seed, Stream.DAY, day)
    looks = _draw_looks(config, catalogue, population, traffic, day, rng)
    cart, purchase = _chances(catalogue, population, looks.users, looks.items)
    carted = np.flatnonzero(rng.random(len(cart)) < cart)
    bought = carted[rng.random(len(carted)) < purchase[carted]]
    carts = looks.microseconds[carted] + rng.integers(5 * _SECOND, 30 * _SECOND, size=len(carted))
    purchases = looks.microseconds[bought] + rng.integers(300 * _SECOND, 1_200 * _SECOND, size=len(bought))
    quantities = 1 + (rng.random(len(bought)) < 0.15)
    staples = _draw_staples(catalogue, population, traffic, day, rng)
    return _in_order(
        DayEvents(looks.users, looks.items, _all(VIEW, looks.users), np.ones(len(cart)), looks.microseconds),
        DayEvents(looks.users[carted], looks.items[carted], _all(CART, carts), np.ones(len(carts)), carts),
        DayEvents(
            looks.users[bought],
            looks.items[bought],
            _all(PURCHASE, bought),
            np.round(quantities * catalogue.prices[looks.items[bought]], 2),
            purchases,
        ),
        staples,
    )


def visit_rates(
    config: ShopConfig, population: Population, traffic: DayTraffic, day: int
) -> NDArray[np.float64]:
    """Return the expected number of visits of each user on a day.

    Args:
        config: The shop's config.
        population: The n users.
        traffic: The rates of visits.
        day: The number of the day, 0 being the first.

    Returns:
        float64[n]; 0 for a user who has not joined yet or has left.
    """
    factor = traffic.visits_per_day * WEEKDAY_FACTORS[(config.start.weekday() + day) % 7]
    return np.where(population.present(day), factor * population.activity, 0.0)


def staples_due(catalogue: ShopCatalogue, population: Population, day: int) -> NDArray[np.int64]:
    """Return the entries of the staples that may be bought on a day.

    Such a staple's turn has come by its tempo, its user is present, and its item is on offer.

    Args:
        catalogue: The shop's items.
        population: The shop's users, with their staples.
        day: The number of the day, 0 being the first.
    """
    staples = population.staples
    due = np.flatnonzero((day + staples.phases) % staples.tempos == 0)
    # Whoever joins later is left out before anything is drawn, or the day would depend on them.
    there = population.present(day)[staples.users[due]] & (catalogue.departure[staples.items[due]] > day)
    return due[there]


def _draw_looks(
    config: ShopConfig,
    catalogue: ShopCatalogue,
    population: Population,
    traffic: DayTraffic,
    day: int,
    rng: np.random.Generator,
) -> Looks:
    """Draw the looks of a day. Each visit has one of the user's tastes, which all its looks follow."""
    appeal = catalogue.appeal_on(day)
    rates = visit_rates(config, population, traffic, day) if appeal.any() else np.zeros(len(population))
    present = np.flatnonzero(rates)
    visiting = np.repeat(present, rng.poisson(rates[present]))
    moods = draw_tastes(population.tastes[visiting], rng.random(len(visiting)))
    starts = rng.beta(4, 2.5, size=len(visiting)) * (_DAY_MICROSECONDS - 3_600 * _SECOND)
    lengths = 1 + rng.poisson(LOOKS_PER_VISIT - 1, size=len(visiting))
    visits = np.repeat(np.arange(len(visiting)), lengths)
    step = np.arange(len(visits)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    seconds = 45 * step + rng.uniform(0, 40, size=len(visits))
    items = draw_items(appeal, moods[visits], rng.random(len(visits)))
    return Looks(visiting[visits], items, (starts[visits] + seconds * _SECOND).astype(np.int64))


def _chances(
    catalogue: ShopCatalogue, population: Population, users: NDArray[np.int64], items: NDArray[np.int64]
) -> ChoiceProbabilities:
    u = utility(
        relative_affinity(population, catalogue, users, items),
        catalogue.prices[items] / catalogue.usual_prices[items],
    )
    return chances(u)


def _draw_staples(
    catalogue: ShopCatalogue, population: Population, traffic: DayTraffic, day: int, rng: np.random.Generator
) -> DayEvents:
    due = staples_due(catalogue, population, day)
    due = due[rng.random(len(due)) < traffic.staple_chance]
    users, items = population.staples.users[due], population.staples.items[due]
    microseconds = (rng.beta(4, 2.5, size=len(due)) * _DAY_MICROSECONDS).astype(np.int64)
    quantities = rng.integers(1, 4, size=len(due))
    return DayEvents(
        users, items, _all(PURCHASE, users), np.round(quantities * catalogue.prices[items], 2), microseconds
    )


def _all(kind: int, like: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.full(len(like), kind)


def _in_order(*parts: DayEvents) -> DayEvents:
    """All events by time; where the clock of the day ran out, a view before its cart before its purchase."""
    users, items, types, values, microseconds = (
        np.concatenate(columns) for columns in zip(*parts, strict=True)
    )
    microseconds = np.minimum(microseconds, _DAY_MICROSECONDS - 1)
    order = np.lexsort((items, users, types, microseconds))
    return DayEvents(users[order], items[order], types[order], values[order], microseconds[order])
