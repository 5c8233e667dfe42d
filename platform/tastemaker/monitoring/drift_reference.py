"""Reference of a version's drift report: rows of the days before its training ended, stored beside it.

It is written when the version is trained, because the lake keeps no history of prices, categories and
countries, and may forget old events. Lists are those that the version shows to the users who came on these
days. Users and features are those of the requests where the service answered that day, else those of the
events. Rows of a day that the preceding version of the model has are taken from it, except lists, so that
prices stay those of that day.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.errors import TastemakerError
from tastemaker.monitoring.drift_sides import SIDES, Side
from tastemaker.registry.artifact import place, staged

FOLDER = "drift_reference"
DAYS = 28
"""Days of a reference: whole weeks, so that each day of the week has the same weight."""
POPULARITY = "popularity"


@dataclass(frozen=True)
class DriftReference:
    """Rows that a version's traffic is compared with, and its items' popularity in the training."""

    sides: dict[Side, pa.Table]
    """Side -> its rows; `features` is absent for a model that reads none."""
    popularity: pa.Table
    """`item_id` and `popularity_percent`, 100 for the most popular."""

    def save(self, version_folder: Path) -> None:
        """Write the reference into the folder of its version; it appears once it is complete.

        Raises:
            TastemakerError: It can't be written.
        """
        target = version_folder / FOLDER
        try:
            with staged(version_folder) as temporary:
                for name, rows in (*self.sides.items(), (POPULARITY, self.popularity)):
                    pq.write_table(rows, temporary / f"{name}.parquet", compression="zstd")
                place(temporary, target)
        except OSError as error:
            raise TastemakerError(
                f"the drift reference {target} can't be written: {error.strerror or error}",
                fix="free some space or fix the folder's permissions; the next drift report writes it",
            ) from error

    @classmethod
    def load(cls, version_folder: Path) -> DriftReference | None:
        """Read the reference of the version in a folder; None if it has none, or one that can't be read."""
        folder = version_folder / FOLDER
        try:
            popularity = pq.read_table(folder / f"{POPULARITY}.parquet")
            paths = {side: folder / f"{side}.parquet" for side in SIDES}
            sides = {side: pq.read_table(path) for side, path in paths.items() if path.exists()}
        except (OSError, pa.ArrowException):
            return None
        return cls(sides, popularity)
