"""The items of a simulated shop: their attributes, their appeal to tastes, and their seasons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.random_streams import (
    Stream,
    arrival_days,
    departure_days,
    dirichlet,
    seniority_days,
    stream,
)

LAUNCH_BOOST = 3.0
"""A new item attracts up to 1 + this times as much as an old one."""
LAUNCH_HALF_LIFE_DAYS = 10.0
"""The boost is half as large after this long."""


class Category(NamedTuple):
    """A category of items of the simulated shop."""

    name: str
    usual_price: float
    """Median, in the shop's currency."""
    peak_day: int
    """Day of the year on which it attracts most."""
    consumable: bool
    """Is it used up and bought again?"""
    nouns: tuple[str, ...]


CATEGORIES = (
    Category("Coffee & Tea", 9.0, 15, True, ("espresso", "filter coffee", "green tea", "chai", "cocoa")),
    Category("Bath & Body", 7.0, 45, True, ("soap", "shampoo", "hand cream", "bath salt", "body oil")),
    Category("Pet Food", 14.0, 60, True, ("kibble", "cat food", "dog treats", "bird seed")),
    Category("Stationery", 5.0, 240, False, ("notebook", "fountain pen", "calendar", "card set", "ink")),
    Category("Garden", 22.0, 120, False, ("trowel", "planter", "seed box", "watering can", "bird bath")),
    Category("Outdoor", 38.0, 180, False, ("picnic rug", "lantern", "cool bag", "hammock", "flask")),
    Category("Kitchen", 18.0, 330, False, ("mug", "teapot", "cake tin", "bread board", "bowl")),
    Category("Lighting", 32.0, 310, False, ("table lamp", "candle holder", "fairy lights", "night light")),
    Category("Textiles", 25.0, 350, False, ("blanket", "cushion", "tea towel", "rug", "apron")),
    Category("Toys", 16.0, 345, False, ("puzzle", "rag doll", "wooden train", "kite", "card game")),
    Category("Decoration", 12.0, 340, False, ("picture frame", "vase", "wall clock", "bunting", "heart")),
    Category("Travel", 45.0, 150, False, ("weekend bag", "wash bag", "passport cover", "umbrella")),
)

ADJECTIVES = (
    "red",
    "blue",
    "small",
    "large",
    "vintage",
    "striped",
    "spotted",
    "oak",
    "enamel",
    "floral",
    "plain",
    "gilt",
)


@dataclass(frozen=True, eq=False)
class ShopCatalogue:
    """The items of a simulated shop, one entry per item, in the order of their arrival."""

    categories: NDArray[np.int64]
    """int64[m]: index into CATEGORIES."""
    tastes: NDArray[np.float32]
    """q, float32[m, Z]: how much each item appeals to each taste; rows add up to 1."""
    attraction: NDArray[np.float64]
    """float64[m]: popularity of its own, by Zipf's law."""
    prices: NDArray[np.float64]
    titles: list[str]
    arrival: NDArray[np.int64]
    """First day on offer; 0 for those that were there before."""
    departure: NDArray[np.int64]
    """First day no longer on offer."""
    first_seen: NDArray[np.int64]
    """int64[m]: the day of first offer; negative before the start."""
    config: ShopConfig

    @classmethod
    def draw(cls, config: ShopConfig) -> ShopCatalogue:
        """Draw the items of a shop."""
        seed = config.seed
        per_day = config.items_launched_per_day * config.n_items
        arrival = arrival_days(stream(seed, Stream.ITEM_ARRIVALS), config.n_items, per_day, config.n_days)
        m = len(arrival)
        categories = stream(seed, Stream.ITEM_CATEGORIES).integers(len(CATEGORIES), size=m)
        usual = np.array([category.usual_price for category in CATEGORIES])[categories]
        ratio = np.exp(0.5 * stream(seed, Stream.ITEM_PRICES).standard_normal(m))
        return cls(
            categories=categories,
            tastes=_item_tastes(config, categories),
            attraction=(1 - stream(seed, Stream.ITEM_POPULARITY).random(m)) ** -config.popularity_skew,
            prices=np.maximum(np.round(usual * ratio, 2), 0.01),
            titles=_titles(seed, categories),
            arrival=arrival,
            departure=departure_days(
                stream(seed, Stream.ITEM_LIFETIMES), arrival, config.items_withdrawn_per_day
            ),
            first_seen=seniority_days(stream(seed, Stream.ITEM_SENIORITY), arrival),
            config=config,
        )

    def __len__(self) -> int:
        return len(self.categories)

    @cached_property
    def usual_prices(self) -> NDArray[np.float64]:
        """float64[m]: the usual price of each item's category."""
        return np.array([category.usual_price for category in CATEGORIES])[self.categories]

    def appeal_on(self, day: int) -> NDArray[np.float64]:
        """Return float64[m, Z]: a_i(d)·q_iz. The looks of taste z fall on items in proportion to it."""
        return self.attraction_on(day)[:, None] * self.tastes

    @cached_property
    def mean_tastes(self) -> NDArray[np.float32]:
        """float32[Z]: the mean tastes of the first day's items. They stay the same as the shop grows."""
        return np.asarray(self.tastes[: self.config.n_items].mean(axis=0))

    def attraction_on(self, day: int) -> NDArray[np.float64]:
        """Return a(d), float64[m]: popularity x season x newness; 0 for an item that is not on offer."""
        peaks = np.array([category.peak_day for category in CATEGORIES])
        phase = 2 * np.pi * (self.config.start.timetuple().tm_yday + day - peaks) / 365.25
        season = np.exp(self.config.season_strength * np.cos(phase))[self.categories]
        age = np.where(self.arrival > 0, day - self.arrival, np.inf)
        newness = 1 + LAUNCH_BOOST * np.exp2(-np.maximum(age, 0) / LAUNCH_HALF_LIFE_DAYS)
        on_offer = (self.arrival <= day) & (day < self.departure)
        return np.where(on_offer, self.attraction * season * newness, 0.0)


def _item_tastes(config: ShopConfig, categories: NDArray[np.int64]) -> NDArray[np.float32]:
    """Draw items' tastes around their category's profile, which is itself one draw of a sparse Dirichlet."""
    shape = (len(CATEGORIES), config.tastes)
    profiles = dirichlet(stream(config.seed, Stream.CATEGORY_TASTES), np.full(shape, 0.3))
    return dirichlet(stream(config.seed, Stream.ITEM_TASTES), (2 * profiles + 0.02)[categories])


def _titles(seed: int, categories: NDArray[np.int64]) -> list[str]:
    picks = stream(seed, Stream.ITEM_TITLES).integers(1 << 30, size=(len(categories), 2)).tolist()
    return [
        f"{ADJECTIVES[adjective % len(ADJECTIVES)]} {nouns[noun % len(nouns)]}"
        for (adjective, noun), nouns in zip(
            picks, (CATEGORIES[category].nouns for category in categories.tolist()), strict=True
        )
    ]
