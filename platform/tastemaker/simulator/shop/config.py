"""The size and the nature of a simulated shop."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tastemaker.simulator.shop.shifts import Shift

Rate = Annotated[float, Field(ge=0, le=0.5)]
Chance = Annotated[float, Field(ge=0, le=1)]


class ShopConfig(BaseModel):
    """Everything that a shop follows from. Days that two lengths of the same shop share are the same days."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seeds everything: users, items, and each day on its own."""
    start: date = date(2025, 1, 1)
    """The first day: its season and its day of the week."""
    dated: date | None = None
    """The date that the first day bears, if not `start`: the same shop, at another time."""
    n_days: Annotated[int, Field(ge=1, le=3_660)] = 180
    """How many days the shop is open."""
    n_users: Annotated[int, Field(ge=1, le=10_000_000)] = 2_800
    """Users on the first day; others join later."""
    n_items: Annotated[int, Field(ge=1, le=1_000_000)] = 1_200
    """Items on the first day; others are launched later."""
    events_per_day: Annotated[float, Field(ge=0, le=10_000_000)] = 1_300.0
    """Mean number of events a day, while about as many users join as leave."""
    tastes: Annotated[int, Field(ge=1, le=256)] = 24
    """Z: the rank of the truth. A user mixes tastes; an item appeals to some of them."""
    taste_concentration: Annotated[float, Field(gt=0, le=100)] = 0.08
    """Dirichlet parameter of users' tastes: small makes users picky and unlike each other."""
    popularity_skew: Annotated[float, Field(ge=0, le=3)] = 0.7
    """Zipf exponent: the item of popularity rank n attracts in proportion to n to the minus this."""
    season_strength: Annotated[float, Field(ge=0, le=5)] = 0.8
    """A category attracts exp(2 · strength) times as much at its peak as half a year off it."""
    users_joining_per_day: Rate = 0.0025
    """New users a day, as a share of n_users."""
    users_leaving_per_day: Rate = 0.003
    """The chance that a user leaves for good, each day."""
    items_launched_per_day: Rate = 0.0015
    """New items a day, as a share of n_items."""
    items_withdrawn_per_day: Rate = 0.001
    """The chance that an item is withdrawn for good, each day."""
    staples: Annotated[int, Field(ge=0, le=20)] = 3
    """Consumables that each user buys again and again."""
    staple_share: Chance = 0.1
    """The share of users who have such staples."""
    shifts: tuple[Shift, ...] = ()
    """Lasting changes, each from a day on. Days before it stay the same."""

    @property
    def first_date(self) -> date:
        """The date that the first day bears."""
        return self.start if self.dated is None else self.dated

    @property
    def nature(self) -> str:
        """Everything that determines a day's events, except the day's number and shifts."""
        return self.model_dump_json(exclude={"n_days", "shifts"}, exclude_none=True)

    def nature_on(self, day: int) -> str:
        """Return everything that determines the events of a day, except its number."""
        begun = [shift.model_dump_json() for shift in self.shifts if shift.day <= day]
        return " ".join([self.nature, *begun])
