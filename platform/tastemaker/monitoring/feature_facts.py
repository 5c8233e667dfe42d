"""Facts of user features: how many are missing in what was served, and how many differ from training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from tastemaker.monitoring.fact_families import FactFamily, FactSources

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

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


def missing_features(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield the shares of missing features, per version that reads features.

    Both shares are of the same users, those in the snapshot of the end of the version's training window. So
    they differ where a feature is lost, and not where other users come.
    """
    home.lake.require("missing_features")
    found = {(one.model, one.version, one.feature): one for one in home.lake.missing_features}
    yield MISSING.gauge({labels: one.served for labels, one in found.items()})
    yield MISSING_LEARNED.gauge({labels: one.learned for labels, one in found.items()})


def feature_skew(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield what the last check of training-serving skew found, per version."""
    from sqlalchemy import func, select

    from tastemaker.storage.tables import UtcDateTime, skew_checks

    columns = skew_checks.c
    newest = select(func.max(columns.checked_at, type_=UtcDateTime)).scalar_subquery()
    recent = columns.checked_at >= home.now - timedelta(days=SKEW_DAYS)
    with home.engine.connect() as connection:
        rows = connection.execute(select(skew_checks).where(columns.checked_at == newest, recent)).all()
    compared = [row for row in rows if row.feature_values]
    yield SKEW.gauge({(row.model, row.version): row.differing / row.feature_values for row in compared})
    yield SKEW_REQUESTS.gauge({(row.model, row.version): float(row.requests) for row in compared})
