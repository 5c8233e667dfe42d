"""The feature store: configuration from the settings, registration, and materialization."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime
from io import StringIO
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, RepoConfig

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.features.online import ITEM_VIEW, USER_VIEW, close_store, feast_config
from tastemaker.features.snapshots import KINDS, snapshots
from tastemaker.plugins.discovery import find
from tastemaker.settings import Settings
from tastemaker.util.atomic_files import plain_path
from tastemaker.util.file_lock import file_lock
from tastemaker_features.entities import item, user
from tastemaker_features.services import model_services
from tastemaker_features.sources import snapshot_source
from tastemaker_features.views import item_view, user_view


class Definitions(NamedTuple):
    """The objects that are registered."""

    entities: list[Entity]
    users: FeatureView
    items: FeatureView
    services: list[FeatureService]
    """One per installed plugin."""

    @property
    def objects(self) -> list[Any]:
        """All objects; their names are distinct."""
        return [*self.entities, self.users, self.items, *self.services]


def repo_config(settings: Settings) -> RepoConfig:
    """Return Feast's configuration for these settings."""
    return RepoConfig(**feast_config(settings))


@contextmanager
def open_store(settings: Settings) -> Iterator[FeatureStore]:
    """Yield the feature store, and close it at the end. Serving uses `features.online.open_reader`."""
    settings.feast.mkdir(parents=True, exist_ok=True)
    plain_path(settings.features)  # the path that is registered may be a link, which temporary files lose
    if settings.online_store.type == "sqlite":
        # Readers must not wait for a writer: SQLite remembers the journal mode in the file.
        with closing(sqlite3.connect(settings.feast / "online.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    store = FeatureStore(config=repo_config(settings))
    try:
        yield store
    finally:
        close_store(store)


def definitions(settings: Settings) -> Definitions:
    """Return the definitions for the settings' features folder and the installed plugins."""
    users = user_view(snapshot_source(settings.features, "users"))
    items = item_view(snapshot_source(settings.features, "items"))
    return Definitions([user, item], users, items, list(_services(users, items)))


def _services(users: FeatureView, items: FeatureView) -> Iterator[FeatureService]:
    """Yield a service per model; a model that declares unknown features has none, and its backtest fails."""
    for plugin in find().sound:
        with suppress(PluginError):
            yield from model_services([plugin], users, items)


def apply(settings: Settings) -> list[str]:
    """Register the definitions and remove the services of removed plugins. Returns the registered names."""
    wanted = definitions(settings).objects
    names = [each.name for each in wanted]
    with file_lock(settings.feast / "lock"), _quiet(), open_store(settings) as store:
        gone: list[Any] = [service for service in store.list_feature_services() if service.name not in names]
        store.apply(wanted, objects_to_delete=gone, partial=False)
    return names


def materialize(settings: Settings, end: int) -> int:
    """Write the latest snapshots to the online store.

    A snapshot has every user or item until its cutoff, so earlier ones add nothing.

    Args:
        settings: The settings, which name the store.
        end: Only snapshots at or before it are read, in seconds since 1970 UTC.

    Returns:
        The number of rows.

    Raises:
        TastemakerError: There is no such snapshot.
    """
    total = 0
    with file_lock(settings.feast / "lock"), _quiet(), open_store(settings) as store:
        for kind, view in zip(KINDS, (USER_VIEW, ITEM_VIEW), strict=True):
            made = [(cut, path) for cut, path in snapshots(settings.features, kind) if cut <= end]
            if not made:
                raise TastemakerError(
                    f"no snapshot of the {kind}' features at or before {datetime.fromtimestamp(end, tz=UTC)}",
                    fix="compute the snapshots first: `tastemaker run`",
                )
            cut, path = made[-1]
            cutoff = datetime.fromtimestamp(cut, tz=UTC)
            store.materialize(cutoff, cutoff, feature_views=[view])
            total += pq.read_metadata(path).num_rows
    return total


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard what Feast prints: it has no option for that."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield
