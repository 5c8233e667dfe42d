"""What was read of the lake for the facts. Importing this module does not import DuckDB."""

from __future__ import annotations

import msgspec

from tastemaker.errors import TastemakerError


class FeatureShares(msgspec.Struct, frozen=True):
    """How often a feature was missing, of the same users, as shares."""

    model: str
    version: str
    feature: str
    served: float
    """In the requests."""
    learned: float
    """In the snapshot of the end of the version's training window."""


class LakeReading(msgspec.Struct):
    """What was read; parts that could not be read are empty, and `errors` says why."""

    newest_events: dict[str, float] = {}
    """Source -> time of its newest event, seconds since 1970 UTC."""
    answering: list[tuple[str, str]] = []
    """Model and version of the logged requests of the last day."""
    missing_features: list[FeatureShares] = []
    errors: dict[str, str] = {}
    """Part -> why it could not be read."""

    @classmethod
    def failed(cls, reason: str) -> LakeReading:
        """Return a reading of which no part could be read."""
        return cls(errors=dict.fromkeys(("newest_events", "answering", "missing_features"), reason))

    def require(self, part: str) -> None:
        """Raise TastemakerError if a part could not be read."""
        if part in self.errors:
            raise TastemakerError(self.errors[part], fix="see the error")
