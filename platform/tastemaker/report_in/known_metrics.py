"""The metrics that have definitions, as reporters see them."""

from __future__ import annotations

from collections.abc import Mapping

from tastemaker.api.report_schemas import KnownMetric, KnownMetrics
from tastemaker.product.definitions import DEFINITIONS


def units() -> Mapping[str, str]:
    """Return name -> unit."""
    return {name: one.unit for name, one in DEFINITIONS.items()}


def known_metrics() -> KnownMetrics:
    """Return the metrics, in the order of the dashboard's pages."""
    return KnownMetrics(
        [KnownMetric(name, one.unit, one.title, one.words) for name, one in DEFINITIONS.items()]
    )
