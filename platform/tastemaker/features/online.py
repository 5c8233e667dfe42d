"""The reader of online features, for requests.

Feast is imported by `open_reader`, not before. `feature_repo` defines the store and writes to it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.features.feast_import import import_feast
from tastemaker.plugins.arrays import Float32

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.protos.feast.types.Value_pb2 import Value

    from tastemaker.settings import Settings

PROJECT = "tastemaker"
USER_VIEW = "user_features"
ITEM_VIEW = "item_features"
_WRITE_ROWS = 10_000


class OnlineReader(Protocol):
    """A reader of the latest features of users. It may call a server, so it may fail or be slow."""

    def users(self, user_ids: Sequence[str], names: Sequence[str]) -> Float32:
        """Return the latest features of users.

        Args:
            user_ids: n ids.
            names: f names of USER_FEATURES.

        Returns:
            float32[n, f]; NaN for an unknown user and for a missing value.
        """


class FeastReader:
    """The online store that Feast was configured with, read without Feast's registry between.

    `FeatureStore.get_online_features` plans each read again from the registry, which takes several times as
    long as the read. What is read is the same.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._view: FeatureView | None = None

    def users(self, user_ids: Sequence[str], names: Sequence[str]) -> Float32:
        """Return the latest features of users as float32[n, f]; NaN for an unknown user or a missing value.

        What the store raises is raised as it is; the next read then opens a new connection.

        Args:
            user_ids: n ids, which may repeat.
            names: f names of USER_FEATURES.
        """
        values = np.full((len(user_ids), len(names)), np.nan, np.float32)
        if not user_ids or not names:
            return values
        distinct = list(dict.fromkeys(user_ids))
        try:
            found = dict(zip(distinct, self._read(distinct, names), strict=True))
        except Exception:
            close_store(self._store)  # a connection that broke is reopened by the next read
            raise
        for row, user_id in enumerate(user_ids):
            values[row] = found[user_id]
        return values

    def _read(self, user_ids: Sequence[str], names: Sequence[str]) -> Iterator[list[float]]:
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        if self._view is None:
            self._view = self._store.get_feature_view(USER_VIEW)
        keys = [
            EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])
            for user_id in user_ids
        ]
        read = self._store._get_provider().online_read
        for _, features in read(self._store.config, self._view, keys, list(names)):
            yield [_number(features.get(name)) for name in names] if features else [math.nan] * len(names)

    def close(self) -> None:
        """Close the connection."""
        close_store(self._store)


def _number(value: Value | None) -> float:
    """Return the value as a float; NaN for none. All features are floats."""
    return float(value.float_val) if value is not None and value.HasField("float_val") else math.nan


def open_reader(settings: Settings) -> FeastReader:
    """Open a reader of the online store that the settings name. Importing Feast takes a second."""
    import_feast()
    from feast import FeatureStore, RepoConfig

    return FeastReader(FeatureStore(config=RepoConfig(**feast_config(settings))))


def close_store(store: FeatureStore) -> None:
    """Close the online store's connection: Feast itself closes only asynchronous ones."""
    online = store._get_provider().online_store
    for name in ("_conn", "_client"):
        connection = getattr(online, name, None)
        if connection is not None:
            connection.close()
            setattr(online, name, None)


def feast_config(settings: Settings) -> dict[str, Any]:
    """Return the content of feature_store.yaml for these settings."""
    folder = settings.feast.resolve()
    return {
        "project": PROJECT,
        "provider": "local",
        "registry": str(folder / "registry.db"),
        "offline_store": {"type": "duckdb"},
        "online_store": _online_store(settings),
        "entity_key_serialization_version": 3,
        "materialization": {"online_write_batch_size": _WRITE_ROWS},
    }


def _online_store(settings: Settings) -> dict[str, Any]:
    kind, url = settings.online_store.type, settings.online_store.url
    if kind == "sqlite":
        return {"type": "sqlite", "path": str(settings.feast.resolve() / "online.db")}
    if url is None:
        raise TastemakerError(
            f"online_store.type is {kind!r} but online_store.url is not set",
            fix=f"set TASTEMAKER_ONLINE_STORE__URL to {_EXAMPLES[kind]}",
        )
    parts = urlsplit(url)
    if parts.hostname is None or parts.scheme.split("+")[0] not in _SCHEMES[kind]:
        raise TastemakerError(
            f"online_store.url is no {kind} URL (its scheme is {parts.scheme!r})",
            fix=f"set TASTEMAKER_ONLINE_STORE__URL to something like {_EXAMPLES[kind]}",
        )
    return _redis(parts) if kind == "redis" else _postgres(parts)


_EXAMPLES = {"redis": "redis://host:6379/0", "postgres": "postgresql://user:password@host:5432/database"}
_SCHEMES = {"redis": ("redis", "rediss"), "postgres": ("postgresql", "postgres")}


def _redis(parts: SplitResult) -> dict[str, Any]:
    """Return Feast's form: host:port,db=0,username=...,password=...,ssl=true; values are parsed as JSON."""
    connection = [f"{parts.hostname}:{parts.port or 6379}", f"db={parts.path.strip('/') or 0}"]
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            quoted = json.dumps(unquote(value)).replace(",", "\\u002c")  # it splits at commas first
            connection.append(f"{name}={quoted}")
    if parts.scheme == "rediss":
        connection.append("ssl=true")
    return {"type": "redis", "connection_string": ",".join(connection)}


def _postgres(parts: SplitResult) -> dict[str, Any]:
    return {
        "type": "postgres",
        "host": parts.hostname,
        "port": parts.port or 5432,
        "database": unquote(parts.path.strip("/")) or "postgres",
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password or ""),
        "sslmode": dict(parse_qsl(parts.query)).get("sslmode", "prefer"),
    }
