"""What a page shows side by side: versions of models or, where an experiment is chosen, its variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select

from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.measured import figures_within, newest_windows
from tastemaker.dashboard.periods import Pair, pairs
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.storage.tables import OWN_SOURCE

MOST_SHOWN = 4
"""Side by side; those with most users."""


class SeriesKey(NamedTuple):
    """A version, or a variant of an experiment."""

    source: str
    problem: str
    model: str
    version: str
    experiment: str
    variant: str

    @property
    def name(self) -> str:
        """Its name for readers, such as `als v1`, or `variant B: als v1`."""
        served = " ".join(filter(None, (self.model, self.version)))
        variant = f"variant {self.variant}" if self.variant else ""
        named = ": ".join(filter(None, (variant, served))) or "all models"
        return named if self.source == OWN_SOURCE else f"{named} (reported by {self.source})"

    def sums(self) -> set[SeriesKey]:
        """Return the series over all versions, and over all models, that this one is part of."""
        return {self._replace(version=""), self._replace(model="", version="")} - {self}

    @classmethod
    def of(cls, row: Row[Any]) -> SeriesKey:
        """Return the series of a row of `measurements`."""
        return cls(*(getattr(row, name) for name in cls._fields))


def columns(filters: PageFilters) -> tuple[str, ...]:
    """Return the columns of `measurements` in which series differ."""
    return ("model", "version", "variant") if filters.experiment else ("model", "version")


def series_of(users: Mapping[SeriesKey, int], filters: PageFilters) -> list[SeriesKey]:
    """Return the series that are shown, of those with figures, those with most users first.

    Nothing is shown twice: of a model only its versions if it has some, of a variant only its sum over models
    if it has one.

    Args:
        users: Number of users of each series.
        filters: Restrictions: with an experiment, the series are its variants.
    """
    sums = {whole for one in users for whole in one.sums()}
    if filters.experiment:
        kept = [one for one in users if one.variant and not users.keys() & one.sums()]
    else:
        kept = [one for one in users if one.model and one not in sums]
    return sorted(kept, key=lambda one: (-users[one], one))


def users_of(rows: Iterable[Row[Any]]) -> dict[SeriesKey, int]:
    """Return the largest number of users of each series in some rows."""
    users: dict[SeriesKey, int] = {}
    for row in rows:
        key = SeriesKey.of(row)
        users[key] = max(users.get(key, 0), row.n or 0)
    return users


def _users(reader: DashboardReader, metrics: Sequence[str], filters: PageFilters) -> dict[SeriesKey, int]:
    """Return the number of users of each series with a figure over the filters' period."""
    windows = newest_windows(reader, metrics, filters.period)
    if not windows:
        return {}
    figures = figures_within(filters, windows, names=columns(filters)).c
    names = [figures[name] for name in SeriesKey._fields]
    counted = select(*names, func.coalesce(func.max(figures.n), 0)).group_by(*names)
    return {SeriesKey(*key): users for *key, users in reader.rows(counted)}


def shown_figures(
    reader: DashboardReader, metrics: Sequence[str], sliced: Sequence[str], filters: PageFilters
) -> tuple[int, dict[SeriesKey, list[Pair]]]:
    """Return how many series there are, and the figures of those that a page shows.

    Args:
        reader: Reads the table `measurements`; has the shop's time zone.
        metrics: Metrics without slices: one of them makes a version a series of the page.
        sliced: Metrics with slices.
        filters: Restrictions, and the period in days.
    """
    names = columns(filters)
    found = series_of(_users(reader, metrics, filters), filters)
    shown: dict[SeriesKey, list[Pair]] = {one: [] for one in found[:MOST_SHOWN]}
    versions = [(one.model, one.version) for one in shown]
    order = (*metrics, *sliced)
    newest = pairs(reader, order, filters, names=(*names, "slice"), versions=versions)
    for pair in sorted(newest, key=lambda one: _place(one.now, order)):
        if (series := SeriesKey.of(pair.now)) in shown:
            shown[series].append(pair)
    return len(found), shown


def _place(row: Row[Any], metrics: Sequence[str]) -> tuple[int, int, str]:
    """Return by what figures are ordered: position=10 comes after position=9."""
    return metrics.index(row.metric), len(row.slice), row.slice
