"""What the service did for the units of an experiment: shares of faulty lists by unit and day, per variant.

A unit belongs to the variant that it was assigned first in the epoch. Its value of a metric is the sum over
days of the share of that day's lists that were faulty, over the number of its days: a bot with a million
lists has the weight of one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice
from typing import NamedTuple

from duckdb import DuckDBPyConnection

from tastemaker.experiments.guardrails.verdicts import OVER, UNDER
from tastemaker.stats.unit_summary import UnitSummary, sql_columns

COLUMNS = {
    "fallback_share": "fallback",
    "empty_share": "empty",
    "short_share": "short",
    "slow_share": "slow",
    "wrong_version_share": "wrong_version",
}
"""Metric -> the column that says whether a list is faulty; null where that is not known."""
FUTURE_SECONDS = 60.0
"""Requests that lie further ahead of our clock are left out: one of the clocks is wrong."""
_OF_EPOCH = """
    CREATE OR REPLACE TEMP TABLE of_epoch AS
    SELECT *, version <> expected.version_expected AS wrong_version
    FROM assigned LEFT JOIN (
        SELECT unnest($variants) AS variant, unnest($versions) AS version_expected
    ) AS expected USING (variant)
    WHERE experiment = $experiment AND epoch = $epoch AND asked_at <= $until
"""
_UNITS = """
    CREATE OR REPLACE TEMP TABLE units AS
    WITH days AS (
        SELECT unit, floor(asked_at / 86400) AS day, min(asked_at) AS asked_at,
            arg_min(variant, asked_at) AS variant, {shares}
        FROM of_epoch WHERE asked_at >= $since GROUP BY unit, day
    )
    SELECT unit, arg_min(variant, asked_at) AS variant, {sums} FROM days GROUP BY unit
"""
_SHARE = "avg({column}::TINYINT) AS {column}"
_SUMS = 'coalesce(sum({column}), 0) AS "{column} over", count({column}) AS "{column} under"'


class ServingUnits(NamedTuple):
    """The units of one epoch of an experiment, by variant."""

    newest_at: float | None
    """Time of the newest request, seconds since 1970 UTC; None without a request."""
    counts: Mapping[str, int]
    """Units by variant."""
    summaries: Mapping[str, Mapping[str, UnitSummary]]
    """Metric -> variant -> summary with the columns `OVER` and `UNDER`."""
    recent: Mapping[str, Mapping[str, UnitSummary]]
    """The same of the last minutes alone."""


class EpochQuery(NamedTuple):
    """Which requests are counted."""

    experiment: str
    epoch: int
    versions: Mapping[str, str | None]
    """Variant -> the version that should answer; None where none is fixed."""
    now: float
    """Seconds since 1970 UTC."""
    recent_seconds: float = 600.0
    """How long the last minutes are."""


def serving_units(connection: DuckDBPyConnection, query: EpochQuery) -> ServingUnits:
    """Return the units that came since the epoch began.

    Args:
        connection: Has the table `assigned`: see `assigned_requests`.
        query: The experiment, its epoch and its variants, and until when requests count.
    """
    which = {
        "experiment": query.experiment,
        "epoch": query.epoch,
        "until": query.now + FUTURE_SECONDS,
        "variants": list(query.versions),
        "versions": list(query.versions.values()),
    }
    connection.execute(_OF_EPOCH, which)
    newest = connection.execute("SELECT max(asked_at) FROM of_epoch").fetchall()[0][0]
    recent = _summaries(connection, query.now - query.recent_seconds)
    summaries = _summaries(connection, 0.0)
    counted = connection.execute("SELECT variant, count(*) FROM units GROUP BY variant").fetchall()
    return ServingUnits(newest, dict(counted), summaries, recent)


def _summaries(connection: DuckDBPyConnection, since: float) -> dict[str, dict[str, UnitSummary]]:
    """Create the table `units` of requests from a time on, and return its summaries."""
    shares, sums = (
        ", ".join(template.format(column=column) for column in COLUMNS.values())
        for template in (_SHARE, _SUMS)
    )
    connection.execute(_UNITS.format(shares=shares, sums=sums), {"since": since})
    expressions = [sql_columns([f"{column} over", f"{column} under"]) for column in COLUMNS.values()]
    columns = ", ".join(chain.from_iterable(expressions))
    of_variants = f"SELECT variant, {columns} FROM units GROUP BY variant"  # noqa: S608 - our own names
    rows = connection.execute(of_variants).fetchall()
    found: dict[str, dict[str, UnitSummary]] = {metric: {} for metric in COLUMNS}
    for variant, *figures in rows:
        parts = iter(figures)
        for metric, its in zip(COLUMNS, expressions, strict=True):
            found[metric][variant] = UnitSummary.of_row((OVER, UNDER), list(islice(parts, len(its))))
    return found
