"""A simulated shop that changes while a model serves it: what upstream delivers each night, and the truth.

Events come as a file that the platform's source `table` reads. One day is missing at first and comes late; of
another all rows are invalid until the next delivery. Lists are valued by the true chances of the shop:

    E[clicks] = Σ_u w_u Σ_p P(examined at p) · P(click | u, i_p)

over the users of the day, weighted by how often each comes. An item that is not on offer is not clicked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tastemaker.api.schemas import Request
from tastemaker.registry import Registry, Version
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.day import relative_affinity
from tastemaker.simulator.shop.shifts import Shift
from tastemaker.simulator.shop.shop import Shop, user_ids
from tastemaker.simulator.traffic.click_model import click_chances, examination

K = 10
LATE_NIGHTS = 3
"""How many nights a late day is missing."""


@dataclass(frozen=True)
class Size:
    """The size of a simulated shop."""

    learned: int = 40
    """Days of events before the first simulated day."""
    days: int = 30
    """Simulated days."""
    n_users: int = 400
    n_items: int = 200
    events_per_day: float = 700.0
    lists_per_day: float = 80_000.0
    """So many that a hundredth of a day's users suffices for the guardrails of the service."""


@dataclass(frozen=True)
class Calendar:
    """On which simulated days what happens, 1 being the first."""

    taste_shift: int
    late: int
    """This day's events come LATE_NIGHTS nights late."""
    bad: int
    """This day's rows are all invalid as they are first delivered."""
    bad_release: int
    """After this day a release of the model is installed that is worse than its offline figures say."""

    @classmethod
    def draw(cls, seed: int, days: int) -> Calendar:
        """Draw the days of a seed: the shift in the first half, the others anywhere."""
        rng = np.random.default_rng([seed, 15])
        shift = int(rng.integers(1, days // 2 + 1))
        late, bad, release = rng.choice(np.arange(1, max(days, 30)), 3, replace=False).tolist()
        return cls(shift, late, bad, release)


class ChangingShop:
    """A shop of which a random half of the users changes tastes on a simulated day."""

    def __init__(self, seed: int, size: Size) -> None:
        """Open a shop, and draw what happens on its days."""
        self.size, self.calendar = size, Calendar.draw(seed, size.days)
        self.shop = Shop(
            ShopConfig(
                seed=seed,
                n_days=size.learned + size.days,
                n_users=size.n_users,
                n_items=size.n_items,
                events_per_day=size.events_per_day,
                tastes=12,
                items_launched_per_day=0.01,
                items_withdrawn_per_day=0.005,
                users_joining_per_day=0.01,
                users_leaving_per_day=0.01,
                shifts=(Shift(kind="taste", day=size.learned + self.calendar.taste_shift - 1, size=0.5),),
            )
        )

    def deliver(self, night: int, path: Path) -> None:
        """Write what upstream has after `night` simulated days; 0 is the night before the first."""
        calendar = self.calendar
        tables = []
        for day in range(self.size.learned + night):
            simulated = day - self.size.learned + 1
            if simulated == calendar.late and night < calendar.late + LATE_NIGHTS:
                continue
            table = self._days[day]
            if simulated == calendar.bad == night:
                at = table.column_names.index("value")
                table = table.set_column(at, table.schema.field("value"), pa.array(np.full(len(table), -1.0)))
            tables.append(table)
        pq.write_table(pa.concat_tables(tables), path)

    @cached_property
    def _days(self) -> list[pa.Table]:
        first = self.shop.config.first_date
        wanted = [first + timedelta(days=day) for day in range(self.shop.config.n_days)]
        kept = ["event_id", "user_id", "item_id", "event_type", "value", "occurred_at"]
        return [pa.concat_tables(self.shop.read([day])).select(kept) for day in wanted]

    def clicks(self, night: int, lists: NDArray[np.int64]) -> float:
        """Return the expected clicks per list on the day after a night.

        Args:
            night: The number of simulated days before.
            lists: int64[n, K], the items of each of `users(night)`; -1 for no item.
        """
        return float(self.weights(night) @ self.chances(night, lists).sum(axis=1))

    def chances(self, night: int, lists: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the chance of a click on each item of lists: arguments as in `clicks`."""
        day, users = self.size.learned + night, self.users(night)
        catalogue, population = self.shop.on(day)
        shown = lists >= 0
        items = np.where(shown, lists, 0)
        pairs = np.repeat(users, lists.shape[1]), items.ravel()
        chances = click_chances(relative_affinity(population, catalogue, *pairs)).reshape(lists.shape)
        offered = shown & (catalogue.attraction_on(day) > 0)[items]
        found: NDArray[np.float64] = chances * offered * examination(lists.shape[1])
        return found

    def weights(self, night: int) -> NDArray[np.float64]:
        """Return the share of each of `users(night)` in the requests of the day."""
        activity = self.shop.on(self.size.learned + night)[1].activity[self.users(night)]
        shares: NDArray[np.float64] = activity / activity.sum()
        return shares

    def users(self, night: int) -> NDArray[np.int64]:
        """Return the users of the day after a night."""
        return np.flatnonzero(self.shop.population.present(self.size.learned + night))

    def best(self, night: int) -> float:
        """Return the expected clicks per list of who knows all tastes."""
        day, users = self.size.learned + night, self.users(night)
        catalogue, population = self.shop.on(day)
        items = np.flatnonzero(catalogue.attraction_on(day) > 0)
        pairs = np.repeat(users, len(items)), np.tile(items, len(users))
        affinity = relative_affinity(population, catalogue, *pairs).reshape(len(users), -1)
        best = items[np.argsort(-affinity, axis=1, kind="stable")[:, :K]]
        return self.clicks(night, best)

    def lists(self, night: int, registry: Registry, version: Version) -> NDArray[np.int64]:
        """Return the lists that a version shows to the day's users, int64[n, K]."""
        loaded = registry.open(version)
        day = self.shop.config.first_date + timedelta(days=self.size.learned + night)
        noon = datetime.combine(day, time(12), UTC).timestamp()
        # The service takes the time of the training for the end of the data.
        now = version.created_at.timestamp() + noon - loaded.snapshot.end
        asks = [
            InferenceRequest(Request(user, K), f"{night:016x}{number:016x}", now)
            for number, user in enumerate(user_ids(self.users(night)).to_pylist())
        ]
        lists = np.full((len(asks), K), -1)
        for row, result in enumerate(Predictor(loaded).recommend(asks)):
            items = [int(item.item_id[1:]) for item in result.answer.items]
            lists[row, : len(items)] = items
        return lists
