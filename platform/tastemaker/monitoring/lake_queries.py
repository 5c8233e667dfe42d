"""Queries of the lake for the facts: the newest events, which versions answered, what features were missing.

Whoever writes events or requests into the lake stores their results: the nightly run and `tastemaker ship`.
So the watch needs neither DuckDB nor the lake.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tastemaker.data.lake_files import literal, open_duckdb, table_files
from tastemaker.features.names import USER_FEATURES
from tastemaker.features.snapshot_path import snapshot_path
from tastemaker.monitoring.lake_reading import (
    SERVED_DAYS,
    AnsweringVersion,
    FeatureShares,
    LakeReading,
    store,
)
from tastemaker.registry.deployment import Target
from tastemaker.registry.manifest import read_manifest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tastemaker.settings import Settings

SAMPLE = 5_000
"""Requests per version that are looked at: the newest."""
MIN_REQUESTS = 100
"""With fewer requests by known users a version has no shares."""

NEWEST = f"""
    SELECT model, version, epoch(max(occurred_at)), epoch_us(list_min(max(occurred_at, {SAMPLE})
        FILTER (features IS NOT NULL AND coalesce(kind, 'recommend') <> 'session')))
    FROM read_parquet(?, hive_partitioning = false, union_by_name = true)
    WHERE occurred_at >= ? GROUP BY ALL ORDER BY ALL
"""  # noqa: S608
"""Versions that answered, when they did last, and since when the newest requests with features are enough."""
ASKED = """
    CREATE OR REPLACE TEMP TABLE asked AS
    SELECT user_id, features FROM read_parquet(?, hive_partitioning = false, union_by_name = true)
    WHERE occurred_at >= ? AND model = ? AND version = ? AND features IS NOT NULL
        AND coalesce(kind, 'recommend') <> 'session'
"""

logger = logging.getLogger("tastemaker.monitoring")


class Asked(NamedTuple):
    """The requests of one version that are looked at."""

    files: Sequence[str]
    since: datetime
    model: str
    version: str


def record_lake(settings: Settings) -> None:
    """Read the lake and store what facts need. It never raises: what writes the lake does not fail by this.

    Args:
        settings: Name the lake, the feature snapshots, the artifacts and the metadata database.
    """
    from tastemaker.storage.engine import open_engine

    now = datetime.now(UTC)
    try:
        found = read_lake(settings.lake, settings.features, settings.artifacts, now)
        engine = open_engine(settings.metadata_url)
        try:
            store(engine, found, now)
        finally:
            engine.dispose()
    except Exception as error:
        logger.warning("what facts need of the lake can't be stored: %s", error)


def read_lake(lake: Path, features: Path, artifacts: Path, now: datetime) -> LakeReading:
    """Return what the facts need. A part that fails is left out, and its error is noted.

    Args:
        lake: The folder of the lake.
        features: The folder of the feature snapshots.
        artifacts: The folder of the model versions.
        now: The current time: versions count that answered in the SERVED_DAYS before.
    """
    found = LakeReading()
    since = now - timedelta(days=SERVED_DAYS)
    with open_duckdb() as connection:
        with _noted(found, "newest_events"):
            found.newest_events = _newest_events(connection, lake)
        files = list(map(literal, table_files(lake, "requests", since=since.date())))
        newest: list[tuple[str, str, float, int | None]] = []
        with _noted(found, "answering", "missing_features"):
            newest = connection.execute(NEWEST, [files, since]).fetchall() if files else []
        found.answering = [AnsweringVersion(*one[:3]) for one in newest]
        with _noted(found, "missing_features"):
            for model, version, _, begin in newest:
                if begin is not None:
                    asked = Asked(files, datetime.fromtimestamp(begin / 1e6, UTC), model, version)
                    found.missing_features += _missing(connection, asked, features, artifacts)
    return found


@contextmanager
def _noted(found: LakeReading, *parts: str) -> Iterator[None]:
    """Note an error of a block as that of parts."""
    try:
        yield
    except Exception as error:  # of a file, DuckDB or a manifest: the other parts are read
        found.errors |= dict.fromkeys(parts, f"{type(error).__name__}: {error}")


def _newest_events(connection: DuckDBPyConnection, lake: Path) -> dict[str, float]:
    files: dict[str, list[Path]] = {}
    for path in table_files(lake, "events"):
        files.setdefault(path.stem, []).append(path)
    found = {}
    for source, paths in files.items():
        for path in reversed(paths):  # by day: the newest one that has an event
            [(newest,)] = connection.execute(
                "SELECT epoch_us(max(occurred_at)) FROM read_parquet(?)", [literal(path)]
            ).fetchall()
            if newest is not None:
                found[source] = newest / 1e6
                break
    return found


def _missing(
    connection: DuckDBPyConnection, asked: Asked, features: Path, artifacts: Path
) -> list[FeatureShares]:
    """Return the shares of a version's features, of users in the snapshot of its training window's end."""
    folder = Target(asked.model, asked.version).folder(artifacts)
    if not folder.exists():
        return []
    snapshot = snapshot_path(features, "users", read_manifest(folder).window.end)
    if not snapshot.exists():
        return []
    connection.execute(ASKED, list(asked))
    [(keys,)] = connection.execute("SELECT json_keys(features) FROM asked LIMIT 1").fetchall()
    names = [name for name in keys if name in USER_FEATURES]
    if not names:
        return []
    columns = ", ".join(
        f"avg((given.{name} IS NULL)::INT), avg((known.{name} IS NULL)::INT)" for name in names
    )
    # One pass over each text: an expression per feature takes ten times the memory.
    form = "{" + ", ".join(f'"{name}": "DOUBLE"' for name in names) + "}"
    [(requests, *shares)] = connection.execute(
        f"SELECT count(*), {columns} FROM (SELECT user_id, json_transform(features, '{form}') AS given "  # noqa: S608
        "FROM asked) JOIN read_parquet(?) AS known USING (user_id)",
        [literal(snapshot)],
    ).fetchall()
    if requests < MIN_REQUESTS:
        return []
    pairs = zip(shares[::2], shares[1::2], strict=True)
    return [FeatureShares(*asked[2:], name, *pair) for name, pair in zip(names, pairs, strict=True)]
