"""Facts of user features: how many are missing in what was served, and how many differ from training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.features.names import USER_FEATURES
from tastemaker.features.snapshots import snapshot_path
from tastemaker.monitoring.fact_families import FactFamily, FactSources, FactValues

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from prometheus_client.core import GaugeMetricFamily

SERVED_DAYS = 1
SAMPLE = 5_000
"""Requests per version that are looked at: the newest."""
MIN_REQUESTS = 100
"""With fewer requests by known users a version has no shares."""

LABELS = ("model", "version", "feature")
MISSING = FactFamily(
    "feature_missing_ratio",
    "share of the last day's logged requests in which a user feature was missing, of users in training",
    LABELS,
)
MISSING_LEARNED = FactFamily(
    "feature_missing_learned_ratio", "share of the same requests whose user lacked it in training", LABELS
)

SKEW = FactFamily(
    "feature_skew_ratio",
    "share of logged feature values that differ from those computed again as of then, by the last check",
    ("model", "version"),
)
SKEW_REQUESTS = FactFamily("feature_skew_requests", "requests that this check compared", ("model", "version"))
SKEW_DAYS = 2
"""A check that was made longer ago is not shown."""

ASKED = """
    CREATE TEMP TABLE asked AS
    SELECT model, version, user_id, features
    FROM read_parquet(?, hive_partitioning = false, union_by_name = true)
    WHERE occurred_at >= ? AND features IS NOT NULL AND coalesce(kind, 'recommend') <> 'session'
    QUALIFY row_number() OVER (PARTITION BY model, version ORDER BY occurred_at DESC) <= ?
"""


def missing_features(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield the shares of missing features, per version that reads features.

    Both shares are of the same users, those in the snapshot of the end of the version's training window. So
    they differ where a feature is lost, and not where other users come.
    """
    from tastemaker.data.lake import day_of, literal, open_duckdb
    from tastemaker.registry.deployment import Target
    from tastemaker.registry.manifest import read_manifest

    since = home.now - timedelta(days=SERVED_DAYS)
    files = [literal(path) for path in home.lake.files("requests") if day_of(path) >= since.date()]
    served: FactValues = {}
    learned: FactValues = {}
    if files:
        with open_duckdb() as connection:
            connection.execute(ASKED, [files, since, SAMPLE])
            versions = connection.execute("SELECT DISTINCT model, version FROM asked ORDER BY ALL").fetchall()
            for model, version in versions:
                folder = Target(model, version).folder(home.settings.artifacts)
                if not folder.exists():
                    continue
                path = snapshot_path(home.settings.features, "users", read_manifest(folder).window.end)
                if path.exists():
                    for name, (now, then) in _shares(connection, model, version, path).items():
                        served[model, version, name] = now
                        learned[model, version, name] = then
    yield MISSING.gauge(served)
    yield MISSING_LEARNED.gauge(learned)


def feature_skew(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield what the last check of training-serving skew found, per version."""
    from sqlalchemy import func, select

    from tastemaker.storage.tables import Moment, skew_checks

    columns = skew_checks.c
    newest = select(func.max(columns.checked_at, type_=Moment)).scalar_subquery()
    recent = columns.checked_at >= home.now - timedelta(days=SKEW_DAYS)
    with home.engine.connect() as connection:
        rows = connection.execute(select(skew_checks).where(columns.checked_at == newest, recent)).all()
    compared = [row for row in rows if row.feature_values]
    yield SKEW.gauge({(row.model, row.version): row.differing / row.feature_values for row in compared})
    yield SKEW_REQUESTS.gauge({(row.model, row.version): float(row.requests) for row in compared})


def _shares(
    connection: DuckDBPyConnection, model: str, version: str, snapshot: Path
) -> dict[str, tuple[float, float]]:
    """Return the shares of missing values per feature, in the log and in the snapshot."""
    from tastemaker.data.lake import literal

    [row] = connection.execute(
        "SELECT json_keys(features) FROM asked WHERE model = ? AND version = ? LIMIT 1", [model, version]
    ).fetchall()
    names = [name for name in row[0] if name in USER_FEATURES]
    if not names:
        return {}
    columns = ", ".join(
        f"avg(((asked.features ->> '$.{name}') IS NULL)::INT), avg((known.{name} IS NULL)::INT)"
        for name in names
    )
    [found] = connection.execute(
        f"SELECT count(*), {columns} FROM asked JOIN read_parquet(?) AS known USING (user_id) "  # noqa: S608
        "WHERE model = ? AND version = ?",
        [literal(snapshot), model, version],
    ).fetchall()
    requests, *shares = found
    if requests < MIN_REQUESTS:
        return {}
    return {name: (shares[2 * place], shares[2 * place + 1]) for place, name in enumerate(names)}
