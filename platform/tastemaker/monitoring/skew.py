"""Training-serving skew: logged features, compared exactly with those that are computed again as of then.

A service reads features from the online store, which has the newest snapshot. When the snapshots are ready,
their newest cutoff is stored (`feature_cutoffs`). A request must have the features as of the newest cutoff
that was ready GRACE_SECONDS before it, or as of one that became ready since.

A value that differs has one of these reasons:

    definition    it is that of the snapshot, and today's code computes another from the same events
    stale         the request's values are those of an earlier cutoff: the online store was not written
    serving       neither: the value changed on its way from the snapshot into the model

Late events change what is computed again, though nothing is wrong. A value that is that of the snapshot is
left out where the user's events changed since, or where the events of others did and the feature depends on
them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from sqlalchemy import Engine, insert, select

from tastemaker.data.lake import Lake, file_metadata
from tastemaker.features.names import USER_FEATURES_OF_OTHERS
from tastemaker.features.recomputed import FeaturesAsOf, recompute, stored
from tastemaker.features.snapshot_path import snapshot_path
from tastemaker.storage.tables import feature_cutoffs, skew_checks

GRACE_SECONDS = 3_600
"""Time for the online store to be written, and for services to forget what they read before."""
EARLIER = 3
"""Earlier cutoffs whose values are looked for in a request that differs."""
EXAMPLES = 20
Reason = Literal["definition", "stale", "serving"]
Skipped = Literal["late", "not_read", "no_snapshot"]
"""Why values are not compared: events came late; the store was not read in time; the snapshot is gone."""

SAMPLE = """
    SELECT request_id, epoch_us(occurred_at) / 1e6, user_id, model, version, features
    FROM requests WHERE occurred_at >= ? AND features IS NOT NULL AND coalesce(kind, 'recommend') <> 'session'
    QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY occurred_at) = 1
    ORDER BY hash(request_id), request_id LIMIT ?
"""


class ServedFeatures(NamedTuple):
    """The user features that a model was given for a request."""

    request_id: str
    at: float
    """Seconds since 1970 UTC."""
    user_id: str
    model: str
    version: str
    values: dict[str, float | None]


class FeatureCutoff(NamedTuple):
    """A cutoff whose snapshots were ready at a time."""

    cutoff: int
    """Seconds since 1970 UTC."""
    fingerprint: str
    made_at: float
    """Seconds since 1970 UTC."""


class FeatureDifference(NamedTuple):
    """A logged value that differs from the one computed again."""

    feature: str
    request_id: str
    logged: float | None
    recomputed: float | None
    cutoff: int
    """The cutoff as of which it was computed again, seconds since 1970 UTC."""
    reason: Reason


@dataclass
class VersionSkew:
    """What was found for a version's requests."""

    model: str
    version: str
    requests: int = 0
    """Requests whose features were compared."""
    feature_values: int = 0
    """Values that were compared."""
    differences: list[FeatureDifference] = field(default_factory=list)
    skipped: Counter[Skipped] = field(default_factory=Counter)
    """Why values were not compared -> how many."""
    times: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of the compared values that differ; 0 if none was compared."""
        return len(self.differences) / self.feature_values if self.feature_values else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the differing values per feature and reason, the skipped ones, and examples of each."""
        counted = Counter((one.feature, one.reason) for one in self.differences)
        examples, seen = [], Counter[tuple[str, str]]()
        for one in self.differences:
            seen[one.feature, one.reason] += 1
            if seen[one.feature, one.reason] <= max(EXAMPLES // len(counted), 1):
                examples.append(one._asdict())
        return {
            "features": [
                {"feature": feature, "reason": reason, "values": n}
                for (feature, reason), n in counted.items()
            ],
            "skipped": dict(self.skipped),
            "examples": examples[:EXAMPLES],
        }


def record_cutoff(engine: Engine, root: Path, cutoff: int) -> None:
    """Store that the snapshots as of a cutoff are ready; the online store is to be written from them.

    Args:
        engine: The metadata database.
        root: The folder of the snapshots.
        cutoff: Seconds since 1970 UTC.
    """
    row = {
        "cutoff": datetime.fromtimestamp(cutoff, UTC),
        "fingerprint": file_metadata(snapshot_path(root, "users", cutoff)).get("fingerprint", ""),
        "made_at": datetime.now(UTC),
    }
    with engine.begin() as connection:
        connection.execute(insert(feature_cutoffs).values(row))


def check_skew(
    lake: Lake, root: Path, engine: Engine, *, requests: int = 1_000, days: float = 1.0
) -> list[VersionSkew]:
    """Compare the features of logged requests with those computed again as of then, and store the result.

    Args:
        lake: The lake with the requests and the events.
        root: The folder of the snapshots.
        engine: The metadata database, which has the cutoffs and gets the result.
        requests: At most so many requests, a fixed random sample of those of the period.
        days: Length of the period, until now.

    Returns:
        What was found per version that answered one of the requests.
    """
    now = datetime.now(UTC)
    logged = sample(lake, now - timedelta(days=days), requests)
    found = Comparison(lake, root, read_cutoffs(engine), logged).versions() if logged else []
    rows = [
        {
            "model": one.model,
            "version": one.version,
            "requests": one.requests,
            "feature_values": one.feature_values,
            "differing": len(one.differences),
            "summary": one.summary(),
            "window_start": datetime.fromtimestamp(min(one.times), UTC),
            "window_end": datetime.fromtimestamp(max(one.times), UTC),
            "checked_at": now,
        }
        for one in found
    ]
    if rows:
        with engine.begin() as connection:
            connection.execute(insert(skew_checks), rows)
    return found


def sample(lake: Lake, since: datetime, requests: int) -> list[ServedFeatures]:
    """Return a fixed random sample of the logged requests whose model read user features.

    Args:
        lake: The lake with the requests.
        since: Only requests from then on.
        requests: At most so many.
    """
    with lake.connect() as connection:
        rows = connection.execute(SAMPLE, [since, requests]).fetchall()
    return [
        ServedFeatures(request_id, at, user_id, model, version, json.loads(values))
        for request_id, at, user_id, model, version, values in rows
    ]


def read_cutoffs(engine: Engine) -> list[FeatureCutoff]:
    """Return the stored cutoffs, the first ready first; the same snapshots again count once."""
    query = select(feature_cutoffs).order_by(feature_cutoffs.c.made_at, feature_cutoffs.c.id)
    found: list[FeatureCutoff] = []
    with engine.connect() as connection:
        for row in connection.execute(query):
            ready = FeatureCutoff(int(row.cutoff.timestamp()), row.fingerprint, row.made_at.timestamp())
            if not found or found[-1][:2] != ready[:2]:
                found.append(ready)
    return found


def is_same(one: float | None, other: float | None) -> bool:
    """Return whether two values are equal as float32, or neighbours.

    The sum of many numbers depends on the order in which threads add them, so that its last digit may differ.

    Args:
        one: A value of a feature; None if it is missing, which is only equal to a missing one.
        other: The value that it is compared with; the order does not matter.

    >>> is_same(0.1, 0.1), is_same(None, None), is_same(None, 0.0), is_same(1.0, 1.000001)
    (True, True, False, False)
    """
    if one is None or other is None:
        return one is other
    left, right = np.float32(one), np.float32(other)
    return bool(left == right or np.nextafter(left, right) == right)


class CutoffFeatures:
    """The sampled users as of a cutoff: as in its snapshot, and computed again. Both are read when needed.

    Args:
        lake: The lake with the events and users of today.
        root: The folder of the snapshots.
        ready: The cutoff, and the fingerprint that its snapshot had when it was ready.
        user_ids: The users of the sampled requests, each once.
    """

    def __init__(self, lake: Lake, root: Path, ready: FeatureCutoff, user_ids: Sequence[str]) -> None:
        self.ready = ready
        self._lake, self._user_ids = lake, user_ids
        self._path = snapshot_path(root, "users", ready.cutoff)

    @cached_property
    def has_snapshot(self) -> bool:
        """Whether the snapshot is the one that was ready then."""
        return self._path.exists() and file_metadata(self._path).get("fingerprint") == self.ready.fingerprint

    @cached_property
    def then(self) -> FeaturesAsOf:
        """As in the snapshot."""
        return stored(self._lake, self._path, self._user_ids)

    @cached_property
    def now(self) -> FeaturesAsOf:
        """As computed again."""
        return recompute(self._lake, self.ready.cutoff, self._user_ids)

    @cached_property
    def has_changed(self) -> bool:
        """Whether events or users before the cutoff were added or removed since."""
        return (self.then.events, self.then.users) != (self.now.events, self.now.users)

    def is_late(self, user_id: str, feature: str) -> bool:
        """Return whether a feature may have changed because events or users came late.

        Args:
            user_id: One of the sampled users.
            feature: Name of the feature; that of others' events may change with each of them.
        """
        own = self.then.event_counts.get(user_id, 0) != self.now.event_counts.get(user_id, 0)
        return own or (feature in USER_FEATURES_OF_OTHERS and self.has_changed)


class Comparison:
    """Comparison of logged features with those of the cutoffs that they may be of.

    Args:
        lake: The lake with the events and users of today.
        root: The folder of the snapshots.
        cutoffs: Those of `read_cutoffs`, the first ready first.
        logged: The sampled requests with their features.
    """

    def __init__(
        self, lake: Lake, root: Path, cutoffs: Sequence[FeatureCutoff], logged: Sequence[ServedFeatures]
    ) -> None:
        self._cutoffs, self._logged = cutoffs, logged
        users = sorted({one.user_id for one in logged})
        self._as_of = {ready: CutoffFeatures(lake, root, ready, users) for ready in cutoffs}

    def versions(self) -> list[VersionSkew]:
        """Return what is found per version."""
        found: dict[tuple[str, str], VersionSkew] = {}
        for one in self._logged:
            of = found.setdefault((one.model, one.version), VersionSkew(one.model, one.version))
            of.times.append(one.at)
            self._compare(one, of)
        return [found[key] for key in sorted(found)]

    def _compare(self, one: ServedFeatures, found: VersionSkew) -> None:
        allowed = [as_of for as_of in self._allowed(one.at) if as_of.has_snapshot]
        if not allowed:
            found.skipped["no_snapshot"] += len(one.values)
            return
        best = min(allowed, key=lambda as_of: len(_differing(one, as_of.now)))
        known = best.then.values.get(one.user_id)
        had = known is not None and any(known.get(name) is not None for name in one.values)
        if had and all(value is None for value in one.values.values()):
            found.skipped["not_read"] += len(one.values)
            return
        differences = list(self._differences(one, best, known or {}, found.skipped))
        found.requests += 1
        found.feature_values += len(one.values)
        found.differences += differences

    def _differences(
        self,
        one: ServedFeatures,
        as_of: CutoffFeatures,
        known: Mapping[str, float | None],
        skipped: Counter[Skipped],
    ) -> Iterator[FeatureDifference]:
        recomputed = as_of.now.values.get(one.user_id, {})
        is_stale: bool | None = None
        for name in _differing(one, as_of.now):
            reason: Reason = "definition"
            if not is_same(one.values[name], known.get(name)):
                is_stale = self._is_stale(one, as_of) if is_stale is None else is_stale
                reason = "stale" if is_stale else "serving"
            elif as_of.is_late(one.user_id, name):
                skipped["late"] += 1
                continue
            yield FeatureDifference(
                name, one.request_id, one.values[name], recomputed.get(name), as_of.ready.cutoff, reason
            )

    def _allowed(self, at: float) -> Iterator[CutoffFeatures]:
        """Yield the cutoffs that a request at a time may have features of."""
        due = [ready for ready in self._cutoffs if ready.made_at <= at - GRACE_SECONDS]
        newer = [ready for ready in self._cutoffs if at - GRACE_SECONDS < ready.made_at <= at]
        yield from (self._as_of[ready] for ready in (*due[-1:], *newer))

    def _is_stale(self, one: ServedFeatures, as_of: CutoffFeatures) -> bool:
        """Return whether all values are those of an earlier cutoff."""
        earlier = {ready.cutoff: ready for ready in self._cutoffs if ready.cutoff < as_of.ready.cutoff}
        for cutoff in sorted(earlier)[-EARLIER:]:
            if set(_differing(one, self._as_of[earlier[cutoff]].now)) <= set(USER_FEATURES_OF_OTHERS):
                return True
        return False


def _differing(one: ServedFeatures, computed: FeaturesAsOf) -> list[str]:
    """Return the features whose logged value is not the computed one."""
    values = computed.values.get(one.user_id, {})
    return [name for name, value in one.values.items() if not is_same(value, values.get(name))]
