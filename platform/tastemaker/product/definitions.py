"""All product metrics by name. `measurements` has also foreign ones, whose names begin with x_."""

from __future__ import annotations

from tastemaker.errors import TastemakerError
from tastemaker.product.catalogue_metrics import CATALOGUE
from tastemaker.product.definition import MetricDefinition
from tastemaker.product.engagement_metrics import ENGAGEMENT
from tastemaker.product.growth_metrics import GROWTH
from tastemaker.product.retention_metrics import RETENTION
from tastemaker.util.spelling import did_you_mean

FOREIGN_PREFIX = "x_"
"""Begins the names of metrics that only their reporter defines: they are drawn, never aggregated."""

DEFINITIONS: dict[str, MetricDefinition] = {
    one.name: one for one in (*ENGAGEMENT, *RETENTION, *GROWTH, *CATALOGUE)
}
"""In the order of the pages."""


def is_foreign(name: str) -> bool:
    """Return whether a metric is defined by its reporter and not here."""
    return name.startswith(FOREIGN_PREFIX)


def get(name: str) -> MetricDefinition:
    """Return the definition of a metric.

    Args:
        name: As in the column `metric` of `measurements`.

    Raises:
        TastemakerError: There is none; the message has the name that is most like it.

    >>> get("ctr_list").title
    'Click-through rate per list'
    >>> get("ctr_lists")
    Traceback (most recent call last):
        ...
    tastemaker.errors.TastemakerError: there is no metric 'ctr_lists'
      fix: did you mean ctr_list?
    """
    if name in DEFINITIONS:
        return DEFINITIONS[name]
    if is_foreign(name):
        raise TastemakerError(
            f"{name!r} is a foreign metric: only its reporter knows its definition",
            fix="ask for its measurements, and show its name and unit",
        )
    raise TastemakerError(
        f"there is no metric {name!r}",
        fix=did_you_mean(name, DEFINITIONS, f"use one of: {', '.join(DEFINITIONS)}; or begin it with x_"),
    )
