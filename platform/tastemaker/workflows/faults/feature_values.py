"""Wrong values in the online feature store within a block.

A killed simulator leaves them there: the next nightly run, or `tastemaker run --select online_features`,
writes the right ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tastemaker.errors import TastemakerError
from tastemaker.features.feast_import import import_feast
from tastemaker.features.online import USER_VIEW, close_store, feast_config
from tastemaker.features.snapshots import snapshots
from tastemaker.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

STEP = timedelta(seconds=1)
"""Some stores keep what they have if it is as new, in full seconds."""
Change = Callable[[float], float | None]

ALTERED: Final[Mapping[str, Change]] = {
    "features_missing": lambda value: None,
    "features_infinite": lambda value: math.inf,
    "features_wrong": lambda value: 1.5 * value + 1.0,
}
"""Fault -> what is stored in place of a value."""


@contextmanager
def altered(name: str, settings: Settings, share: float) -> Iterator[None]:
    """Store other values of all features for a share of the users within a block.

    Args:
        name: The fault, one of ALTERED.
        settings: Name the store.
        share: Of the users, those whose ids come last.

    Yields:
        Nothing, once the values are stored; the right ones are stored again at the end.

    Raises:
        TastemakerError: There is no snapshot of the features.
    """
    import_feast()
    from feast import FeatureStore, RepoConfig

    store = FeatureStore(config=RepoConfig(**feast_config(settings)))
    try:
        rows = _Rows(store, _user_ids(settings, share))
        rows.write(ALTERED[name], STEP)
        try:
            yield
        finally:
            rows.write(lambda value: value, 2 * STEP)
    finally:
        close_store(store)


class _Rows:
    """The stored features of some users."""

    def __init__(self, store: FeatureStore, user_ids: Sequence[str]) -> None:
        """Read them."""
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        self._store, self._view = store, store.get_feature_view(USER_VIEW)
        self._keys = [
            EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=one)]) for one in user_ids
        ]
        names = [field.name for field in self._view.features]
        self._found = store._get_provider().online_read(store.config, self._view, self._keys, names)

    def write(self, change: Change, later: timedelta) -> None:
        """Write changed values.

        Args:
            change: Of each value; None: it is missing.
            later: By how much they are newer than those that were read.
        """
        rows: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]] = [
            (key, {name: _changed(value, change) for name, value in values.items()}, at + later, None)
            for key, (at, values) in zip(self._keys, self._found, strict=True)
            if at is not None and values is not None
        ]
        self._store._get_provider().online_write_batch(self._store.config, self._view, rows, None)


def _changed(value: Value, change: Change) -> Value:
    from feast.protos.feast.types.Value_pb2 import Value

    if not value.HasField("float_val"):
        return value
    changed = change(value.float_val)
    return Value() if changed is None else Value(float_val=changed)


def _user_ids(settings: Settings, share: float) -> list[str]:
    import pyarrow.parquet as pq

    made = [path for _, path in snapshots(settings.features, "users")]
    if not made:
        raise TastemakerError(
            f"there is no snapshot of the users' features in {settings.features}",
            fix="compute and materialize them first: tastemaker run",
        )
    ids = sorted(pq.read_table(made[-1], columns=["user_id"])["user_id"].to_pylist())
    return ids[len(ids) - round(share * len(ids)) :]
