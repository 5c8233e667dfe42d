"""Lasting changes of a simulated shop from a day on: what a drift report must find."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tastemaker.simulator.shop.random_streams import Stream, dirichlet, stream

if TYPE_CHECKING:
    from tastemaker.simulator.shop.catalogue import ShopCatalogue
    from tastemaker.simulator.shop.config import ShopConfig
    from tastemaker.simulator.shop.population import Population

ShiftKind = Literal[
    "audience", "catalogue", "closed", "invalid_rows", "new_column", "price", "taste", "unreadable"
]  # fmt: skip
CAMPAIGN_COUNTRY = 6
"""The country from which users of a new audience come, as index into `population.COUNTRIES`."""


class Shift(BaseModel):
    """A change of a simulated shop that begins on a day and stays."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    kind: ShiftKind
    """audience: `size` of the visits are by users of one small country. catalogue: `size` of the categories
    are withdrawn. price: all prices rise by `size`. taste: `size` of the users have other tastes. closed: no
    events are delivered. invalid_rows: `size` of the rows of events have a value below 0. new_column: events
    have one more column. unreadable: no events can be read."""
    day: Annotated[int, Field(ge=0)]
    """Number of the first day with it, 0 for the shop's first day."""
    size: Annotated[float, Field(gt=0, le=1)] = 0.5
    """How large it is, as a share."""


def shifted(
    config: ShopConfig, catalogue: ShopCatalogue, population: Population, day: int
) -> tuple[ShopCatalogue, Population]:
    """Return the catalogue and the users as they are on a day, after the shifts that have begun.

    Args:
        config: The shop's config, with its shifts.
        catalogue: The shop's items without shifts.
        population: The shop's users without shifts.
        day: The number of the day, 0 being the first.
    """
    for shift in config.shifts:
        if day < shift.day:
            continue
        match shift.kind:
            case "price":
                catalogue = replace(catalogue, prices=np.round(catalogue.prices * (1 + shift.size), 2))
            case "catalogue":
                catalogue = _fewer_categories(config, catalogue, shift)
            case "audience":
                population = _campaign(population, shift, day)
            case "taste":
                population = _other_tastes(config, population, shift)
            case "closed" | "invalid_rows" | "new_column" | "unreadable":  # of how events are delivered
                pass
    return catalogue, population


def delivered(config: ShopConfig, values: NDArray[np.float64], day: int) -> NDArray[np.float64]:
    """Return the values of a day's events as the shop delivers them; none while it delivers no events.

    Args:
        config: The shop's config, with its shifts.
        values: float64[n]
        day: The number of the day, 0 being the first.
    """
    for shift in config.shifts:
        if day >= shift.day and shift.kind == "closed":
            return values[:0]
        if day >= shift.day and shift.kind == "invalid_rows":
            invalid = stream(config.seed, Stream.SHIFT_ROWS, day).random(len(values)) < shift.size
            values = np.where(invalid, -1.0, values)
    return values


def _fewer_categories(config: ShopConfig, catalogue: ShopCatalogue, shift: Shift) -> ShopCatalogue:
    n = int(catalogue.categories.max()) + 1
    gone = stream(config.seed, Stream.SHIFT_CATEGORIES).permutation(n)[: max(1, round(shift.size * n))]
    withdrawn = np.isin(catalogue.categories, gone[: n - 1])
    return replace(
        catalogue,
        departure=np.where(withdrawn, np.minimum(catalogue.departure, shift.day), catalogue.departure),
    )


def _campaign(population: Population, shift: Shift, day: int) -> Population:
    there = population.present(day)
    reached = population.countries == CAMPAIGN_COUNTRY
    theirs, others = (float(population.activity[there & who].sum()) for who in (reached, ~reached))
    if not theirs or not others:
        return population
    total = theirs + others
    factors = np.where(reached, shift.size * total / theirs, (1 - shift.size) * total / others)
    return replace(population, activity=population.activity * factors)


def _other_tastes(config: ShopConfig, population: Population, shift: Shift) -> Population:
    rng = stream(config.seed, Stream.SHIFT_TASTES)
    changed = rng.random(len(population)) < shift.size
    tastes = population.tastes.copy()
    alpha = np.full((int(changed.sum()), config.tastes), config.taste_concentration)
    tastes[changed] = dirichlet(rng, alpha)
    return replace(population, tastes=tastes)
