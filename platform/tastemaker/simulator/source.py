"""A simulated shop (`tastemaker.simulator`): the default, so that everything runs before there is any data.

`source.options` sets its size and nature: seed, n_days, n_users, n_items, events_per_day, ...
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from tastemaker.data.sources import Reading
from tastemaker.data.sources._own import refuse_own_columns
from tastemaker.data.sources._staging import canonical_types
from tastemaker.data.sources._unread import refuse_unread
from tastemaker.errors import SourceError, in_words
from tastemaker.settings import SourceSettings
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shifts import ShiftKind
from tastemaker.simulator.shop.shop import Shop

NEW_COLUMN = "campaign"
"""The column that a shift adds to the events."""
DEMO = "demo.json"
"""In a home folder: the date of the first day of the demo's shop."""


class SimulatedShop:
    """The source `simulated`: a shop whose events are generated.

    Shops that differ only in their number of days have the same identity. Another seed or nature is another
    identity.
    """

    name = "simulated"

    def __init__(self, config: ShopConfig) -> None:
        self.identity = f"simulated {hashlib.sha256(config.nature.encode()).hexdigest()[:16]}"
        self.shop = Shop(config)

    @property
    def readings(self) -> Sequence[Reading]:
        """The columns of the events, where a shift has added one."""
        if self._first_day("new_column") is None:
            return ()
        return [Reading("events", self.name, {"columns": {NEW_COLUMN: "is not read"}})]

    def days(self) -> dict[date, str]:
        return self.shop.days()

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        """Return the events of some days as tables with the columns of EVENTS, drawn one by one.

        Args:
            days: The days to read, which come in their order; None: all.
            rows: The maximal number of rows of a table.

        Raises:
            SourceError: A shift makes one of the days unreadable.
        """
        first = self._first_day("unreadable")
        if first is not None and (days is None or any(day >= first for day in days)):
            raise SourceError(
                f"the events of {first} and of later days can't be read", fix="remove that shift of the shop"
            )
        return map(canonical_types, self.shop.read(days, rows))

    def _first_day(self, kind: ShiftKind) -> date | None:
        """Return the first day with a shift, if the shop is open on it."""
        config = self.shop.config
        begun = [shift.day for shift in config.shifts if shift.kind == kind and shift.day < config.n_days]
        return config.first_date + timedelta(days=min(begun)) if begun else None

    def items(self) -> pa.Table:
        return self.shop.items()

    def users(self) -> pa.Table:
        return self.shop.users()


def open(settings: SourceSettings) -> SimulatedShop:
    """Open the shop that `source.options` describes. Raises SourceError for options that are not valid."""
    refuse_own_columns(settings)
    refuse_unread(settings, "options")
    try:
        return SimulatedShop(ShopConfig(**settings.options))
    except ValidationError as error:
        raise SourceError(
            f"source.options do not describe a shop:\n    {in_words(error)}",
            fix=f"the options are: {', '.join(ShopConfig.model_fields)}",
        ) from error


def as_demo(settings: SourceSettings, home: Path) -> SourceSettings:
    """Return the settings, with the dates of the demo's shop if a demo was run in this home folder.

    A run after the demo then continues the demo's shop, which has ended. Dates that the settings name are
    kept.

    Args:
        settings: The settings of the source.
        home: The home folder.
    """
    noted = home / DEMO
    if settings.name != "simulated" or "dated" in settings.options or not noted.exists():
        return settings
    options = settings.options | {"dated": json.loads(noted.read_text("utf-8"))["dated"]}
    return settings.model_copy(update={"options": options, "ended": True})
