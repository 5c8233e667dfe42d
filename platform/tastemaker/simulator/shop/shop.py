"""A seeded shop: its events by day as canonical tables, and the truth behind them.

Users and items have latent tastes of rank Z. A visit of user u on day d is in the mood for one taste z, and
its looks fall on items by what is on offer, popular, in season and new (a) and by what appeals to z (q):

    P(i | u, d) = Σ_z θ_uz · a_i(d)·q_iz / Σ_j a_j(d)·q_jz

A look leads on to a cart and a purchase by `choice`. Some users buy staples again at a tempo of their own.
Shoppers have no other memory: that is what makes every day a function of the config and its number alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tastemaker.data.tables import EVENTS, ITEMS, OWN, USERS, completed
from tastemaker.simulator.shop.catalogue import CATEGORIES, ShopCatalogue
from tastemaker.simulator.shop.choice_model import chances, utility
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.day import (
    EVENT_TYPES,
    LOOKS_PER_VISIT,
    DayEvents,
    calibrate,
    draw_day,
    staples_due,
    visit_rates,
)
from tastemaker.simulator.shop.population import COUNTRIES, Population
from tastemaker.simulator.shop.shifts import delivered, shifted

GENERATOR_VERSION = 1
"""Goes up with every change that makes an old config yield other events."""


class Shop:
    """A simulated shop: users, items, events by day, and the true probabilities behind them.

    Users and items are numbered in the order of their arrival; user number 7 is ``u0000007``.
    """

    def __init__(self, config: ShopConfig | None = None) -> None:
        self.config = config or ShopConfig()
        self.catalogue = ShopCatalogue.draw(self.config)
        self.population = Population.draw(self.config, self.catalogue)
        self.traffic = calibrate(self.config, self.catalogue, self.population)

    @property
    def n_users(self) -> int:
        """The number of users of all days."""
        return len(self.population)

    @property
    def n_items(self) -> int:
        """The number of items of all days."""
        return len(self.catalogue)

    def days(self) -> dict[date, str]:
        """Return the digest of each day, which stays the same when the shop is only kept open longer."""
        return {
            self.config.first_date + timedelta(days=day): hashlib.sha256(
                f"{GENERATOR_VERSION} {day} {self.config.nature_on(day)}".encode()
            ).hexdigest()
            for day in range(self.config.n_days)
        }

    def read(self, days: Collection[date] | None = None, rows: int = 250_000) -> Iterator[pa.Table]:
        """Yield the events of some days as tables with the columns of EVENTS, oldest first.

        Days are kept together while they fit. A day on which the shop is closed has no events.

        Args:
            days: The days to read; None: all.
            rows: The maximal number of rows of a table.
        """
        wanted = self.days() if days is None else sorted(days)
        waiting: list[pa.Table] = []
        for day in wanted:
            number = (day - self.config.first_date).days
            if not 0 <= number < self.config.n_days:
                continue
            table = self._table(number)
            if waiting and sum(map(len, waiting)) + len(table) > rows:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting = []
            while len(table) > rows:
                yield table.slice(0, rows)
                table = table.slice(rows)
            if len(table):
                waiting.append(table)
        if waiting:
            yield pa.concat_tables(waiting).combine_chunks()

    def on(self, day: int) -> tuple[ShopCatalogue, Population]:
        """Return the items and the users with the shifts that have begun by a day."""
        return shifted(self.config, self.catalogue, self.population, day)

    def draw_day(self, day: int) -> DayEvents:
        """Return the events of a day as arrays, day 0 being the first."""
        return draw_day(self.config, *self.on(day), self.traffic, day)

    def items(self) -> pa.Table:
        """Return the catalogue as on the last day, with the columns of ITEMS."""
        catalogue, _ = self.on(self.config.n_days - 1)
        names = np.array([category.name for category in CATEGORIES], dtype=object)
        columns = {
            "item_id": item_ids(np.arange(self.n_items)),
            "title": self.catalogue.titles,
            "category": names[self.catalogue.categories],
            "price": catalogue.prices,
            "first_seen_at": self._midnights(self.catalogue.first_seen),
            OWN: pa.nulls(self.n_items, ITEMS.field(OWN).type),
        }
        return pa.table(columns, schema=ITEMS)

    def users(self) -> pa.Table:
        """Return the users, with the columns of USERS."""
        codes = np.array([code for code, _ in COUNTRIES], dtype=object)
        columns = {
            "user_id": user_ids(np.arange(self.n_users)),
            "country": codes[self.population.countries],
            "first_seen_at": self._midnights(self.population.first_seen),
        }
        return completed(pa.table(columns), USERS).cast(USERS)

    def affinity(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the true affinities θ_u·q_i, float32[len(users), len(items)], without the shop's shifts.

        Args:
            users: int64[n], user numbers.
            items: int64[m], item numbers.
        """
        affinity: NDArray[np.float32] = self.population.tastes[users] @ self.catalogue.tastes[items].T
        return affinity

    def view_probabilities(self, users: NDArray[np.int64], day: int) -> NDArray[np.float64]:
        """Return the true P(i | u, d) of views on a day.

        Args:
            users: int64[n], user numbers.
            day: The number of the day, 0 being the first.

        Returns:
            float64[len(users), n_items]; all 0 if nothing is on offer.
        """
        catalogue, population = self.on(day)
        appeal = catalogue.appeal_on(day)
        totals = appeal.sum(axis=0)
        shares = np.divide(appeal, totals, out=np.zeros_like(appeal), where=totals > 0)
        tastes = population.tastes[users].astype(np.float64)
        probabilities: NDArray[np.float64] = tastes @ shares.T / tastes.sum(axis=1, keepdims=True)
        return probabilities

    def expected_purchases(self, users: NDArray[np.int64], day: int) -> NDArray[np.float64]:
        """Return the true expected number of purchases on a day, float64[len(users), n_items].

        Args:
            users: int64[n], user numbers, none twice; a user who is not there on the day buys nothing.
            day: The number of the day, 0 being the first.
        """
        catalogue, population = self.on(day)
        tastes = population.tastes[users]
        affinity = (tastes @ catalogue.tastes.T).astype(np.float64) / (tastes @ catalogue.mean_tastes)[
            :, None
        ]
        cart, purchase = chances(utility(affinity, catalogue.prices / catalogue.usual_prices))
        looks = LOOKS_PER_VISIT * visit_rates(self.config, population, self.traffic, day)[users]
        expected = looks[:, None] * self.view_probabilities(users, day) * cart * purchase
        staples = population.staples
        due = staples_due(catalogue, population, day)
        row_of = np.full(self.n_users, -1)
        row_of[users] = np.arange(len(users))
        rows = row_of[staples.users[due]]
        np.add.at(expected, (rows[rows >= 0], staples.items[due][rows >= 0]), self.traffic.staple_chance)
        return expected

    def _table(self, number: int) -> pa.Table:
        events = self.draw_day(number)
        values = delivered(self.config, events.values, number)
        if len(values) < len(events.values):
            return EVENTS.empty_table()
        n = len(events.users)
        day = self.config.first_date + timedelta(days=number)
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
        columns = {
            "event_id": _ids(f"e{day:%Y%m%d}-", np.arange(n)),
            "user_id": user_ids(events.users),
            "item_id": item_ids(events.items),
            "event_type": pa.DictionaryArray.from_arrays(events.types, list(EVENT_TYPES)).cast(pa.string()),
            "value": values,
            "occurred_at": pa.array(midnight + events.microseconds).cast(EVENTS.field("occurred_at").type),
            "request_id": pa.nulls(n, pa.string()),
            "position": pa.nulls(n, pa.int32()),
        }
        return pa.table(columns, schema=EVENTS)

    def _midnights(self, days: NDArray[np.int64]) -> pa.Array:
        timestamps = np.datetime64(self.config.first_date, "us") + days * np.timedelta64(1, "D")
        return pa.array(timestamps).cast(ITEMS.field("first_seen_at").type)


def user_ids(users: NDArray[np.int64]) -> pa.Array:
    """Return the shop's ids of users, given their numbers."""
    return _ids("u", users)


def item_ids(items: NDArray[np.int64]) -> pa.Array:
    """Return the shop's ids of items, given their numbers."""
    return _ids("i", items)


def _ids(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    padded = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 7, "0")
    return pc.binary_join_element_wise(prefix, padded, "")
