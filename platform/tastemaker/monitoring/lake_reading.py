"""What the facts need of the lake, as those who write the lake store it: the table `lake_readings`.

Importing this module does not import DuckDB.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine, delete, insert, select

from tastemaker.errors import TastemakerError
from tastemaker.storage.tables import lake_readings

SERVED_DAYS = 1
"""A version counts as served for so many days after its last logged request."""


class AnsweringVersion(NamedTuple):
    """A version that answered requests of the last day."""

    model: str
    version: str
    newest: float
    """Time of its last request, seconds since 1970 UTC."""


class FeatureShares(NamedTuple):
    """How often a feature was missing, of the same users, as shares."""

    model: str
    version: str
    feature: str
    served: float
    """In the requests."""
    learned: float
    """In the snapshot of the end of the version's training window."""


@dataclass
class LakeReading:
    """What was read; parts that could not be read are empty, and `errors` says why."""

    newest_events: dict[str, float] = field(default_factory=dict)
    """Source -> time of its newest event, seconds since 1970 UTC."""
    answering: list[AnsweringVersion] = field(default_factory=list)
    missing_features: list[FeatureShares] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    """Part -> why it could not be read."""

    def require(self, part: str) -> None:
        """Raise TastemakerError if a part could not be read."""
        if part in self.errors:
            raise TastemakerError(f"the lake can't be read: {self.errors[part]}", fix="see the error")

    def as_of(self, now: datetime) -> LakeReading:
        """Return what still holds at a time: versions that answered in the last day, and their features."""
        since = (now - timedelta(days=SERVED_DAYS)).timestamp()
        answering = [one for one in self.answering if one.newest >= since]
        named = {(one.model, one.version) for one in answering}
        missing = [one for one in self.missing_features if (one.model, one.version) in named]
        return replace(self, answering=answering, missing_features=missing)


def store(engine: Engine, reading: LakeReading, read_at: datetime) -> None:
    """Store a reading in place of the one before.

    Args:
        engine: The metadata database.
        reading: What was read.
        read_at: When.
    """
    with engine.begin() as connection:
        connection.execute(delete(lake_readings))
        connection.execute(insert(lake_readings).values(**asdict(reading), read_at=read_at))


def newest_reading(engine: Engine, now: datetime) -> LakeReading:
    """Return what is known of the lake at a time; an empty reading if it was never read.

    Args:
        engine: The metadata database.
        now: The time; what is too old at it is left out.
    """
    with engine.connect() as connection:
        row = connection.execute(select(lake_readings).order_by(lake_readings.c.id.desc()).limit(1)).first()
    if row is None:
        return LakeReading()
    return LakeReading(
        row.newest_events,
        [AnsweringVersion(*one) for one in row.answering],
        [FeatureShares(*one) for one in row.missing_features],
        row.errors,
    ).as_of(now)
