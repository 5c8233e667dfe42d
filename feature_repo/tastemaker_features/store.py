"""The feature store as a whole: configured from the settings, registered, and filled for online reading."""

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
    """Everything that is registered."""

    entities: list[Entity]
    users: FeatureView
    items: FeatureView
    services: list[FeatureService]
    """One a plugin that is installed."""

    @property
    def objects(self) -> list[Any]:
        """All of them, named differently each."""
        return [*self.entities, self.users, self.items, *self.services]


def repo_config(settings: Settings) -> RepoConfig:
    """Feast's configuration for these settings."""
    return RepoConfig(**feast_config(settings))


@contextmanager
def open_store(settings: Settings) -> Iterator[FeatureStore]:
    """The feature store while the context lasts. Serving uses `tastemaker.features.online.open_reader`."""
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
    """What the settings' features folder and the installed plugins ask for."""
    users = user_view(snapshot_source(settings.features, "users"))
    items = item_view(snapshot_source(settings.features, "items"))
    return Definitions([user, item], users, items, list(_services(users, items)))


def _services(users: FeatureView, items: FeatureView) -> Iterator[FeatureService]:
    """A service a model; one that reads features that do not exist has none, and its backtest fails."""
    for plugin in find().sound:
        with suppress(PluginError):
            yield from model_services([plugin], users, items)


def apply(settings: Settings) -> list[str]:
    """Register the definitions and forget the services of plugins that are gone. Returns what there is."""
    wanted = definitions(settings).objects
    names = [each.name for each in wanted]
    with file_lock(settings.feast / "lock"), _quiet(), open_store(settings) as store:
        gone: list[Any] = [service for service in store.list_feature_services() if service.name not in names]
        store.apply(wanted, objects_to_delete=gone, partial=False)
    return names


def materialize(settings: Settings, end: int) -> int:
    """Write the latest snapshot at or before `end` (seconds UTC) to the online store. Returns its rows.

    One snapshot knows every user and item until its cut, so earlier ones add nothing.
    """
    total = 0
    with file_lock(settings.feast / "lock"), _quiet(), open_store(settings) as store:
        for kind, view in zip(KINDS, (USER_VIEW, ITEM_VIEW), strict=True):
            made = [(cut, path) for cut, path in snapshots(settings.features, kind) if cut <= end]
            if not made:
                raise TastemakerError(
                    f"no snapshot of the {kind}' features at or before {datetime.fromtimestamp(end, tz=UTC)}",
                    fix="make the snapshots first: `tastemaker run`",
                )
            cut, path = made[-1]
            moment = datetime.fromtimestamp(cut, tz=UTC)
            store.materialize(moment, moment, feature_views=[view])
            total += pq.read_metadata(path).num_rows
    return total


@contextmanager
def _quiet() -> Iterator[None]:
    """Feast prints its progress and offers no way to ask it not to."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield
