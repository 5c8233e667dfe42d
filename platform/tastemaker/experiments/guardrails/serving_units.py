"""What the service did for the units of an experiment: shares of faulty lists by unit and day, per variant.

A unit belongs to the variant that it was assigned first in the epoch. Its value of a metric is the sum over
days of the share of that day's lists that were faulty, over the number of its days: a bot with a million
lists has the weight of one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

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
_SHARE = "avg({column}::TINYINT) AS {column}"
_SUMS = 'coalesce(sum({column}), 0) AS "{column} over", count({column}) AS "{column} under"'
_UNITS = """
    WITH requests AS (
        SELECT assigned.*, version <> version_expected AS wrong_version
        FROM assigned LEFT JOIN (
            SELECT unnest($variants) AS variant, unnest($versions) AS version_expected
        ) USING (variant)
        WHERE experiment = $experiment AND epoch = $epoch AND asked_at BETWEEN $since AND $until {which}
    ), days AS (
        SELECT unit, floor(asked_at / 86400) AS day, min(asked_at) AS asked_at, max(asked_at) AS newest_at,
            arg_min(variant, (asked_at, request)) AS variant, {shares}
        FROM requests GROUP BY unit, day
    )
    SELECT $experiment AS experiment, $epoch AS epoch, unit, max(newest_at) AS newest_at,
        arg_min(variant, asked_at) AS variant, {sums}
    FROM days GROUP BY unit
"""
_STORED = '"{column} over" DOUBLE, "{column} under" BIGINT'
CREATE_COUNTED = """
    CREATE TABLE counted_epochs (
        experiment VARCHAR, epoch BIGINT, versions VARCHAR[], added BIGINT, until DOUBLE
    );
    CREATE TABLE counted_units (
        experiment VARCHAR, epoch BIGINT, unit UBIGINT, newest_at DOUBLE, variant VARCHAR, {columns}
    )
""".format(columns=", ".join(_STORED.format(column=column) for column in COLUMNS.values()))
"""Creates the tables of what was counted, and of how: with which versions, which requests and until when."""
_FIND_EPOCH = """
    SELECT versions, added, until FROM counted_epochs WHERE experiment = $experiment AND epoch = $epoch
"""
_FORGET_UNITS = "DELETE FROM counted_units WHERE experiment = $experiment AND epoch = $epoch"
_FORGET_EPOCH = "DELETE FROM counted_epochs WHERE experiment = $experiment AND epoch = $epoch"
_NOTE_EPOCH = "INSERT INTO counted_epochs VALUES ($experiment, $epoch, $versions, $added, $until)"
_LAST_ADDED = "SELECT greatest((SELECT max(added) FROM assigned), (SELECT max(added) FROM removed), 0)"
_CHANGED = """
    CREATE OR REPLACE TEMP TABLE changed AS
    SELECT unit FROM assigned WHERE experiment = $experiment AND epoch = $epoch AND added > $added
    UNION SELECT unit FROM removed WHERE experiment = $experiment AND epoch = $epoch AND added > $added
    UNION SELECT unit FROM assigned
        WHERE experiment = $experiment AND epoch = $epoch
            AND asked_at > least($until, $before) AND asked_at <= greatest($until, $before)
"""


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

    Only the units whose requests have changed since the last call are counted again, from all their requests.
    So the figures are those of a first call, up to rounding.

    Args:
        connection: Has the requests and what was counted before: that of `AssignedRequests`.
        query: The experiment, its epoch and its variants, and until when requests count.
    """
    epoch = {"experiment": query.experiment, "epoch": query.epoch}
    requests = epoch | {
        "until": query.now + FUTURE_SECONDS,
        "variants": list(query.versions),
        "versions": list(query.versions.values()),
    }
    connection.begin()
    try:
        _count_changed(connection, epoch, requests)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    lately = f"CREATE OR REPLACE TEMP TABLE recent_units AS {_counting()}"
    connection.execute(lately, requests | {"since": query.now - query.recent_seconds})
    newest, counts, summaries = _summarize(connection, "counted_units", epoch)
    return ServingUnits(newest, counts, summaries, _summarize(connection, "recent_units", epoch)[2])


def _count_changed(
    connection: DuckDBPyConnection, epoch: Mapping[str, Any], requests: Mapping[str, Any]
) -> None:
    """Count the units again of which a request was added or removed, or lies in the past by now.

    Args:
        connection: As in `serving_units`.
        epoch: The experiment and its epoch.
        requests: The same, until when requests count, and the versions that should answer.
    """
    versions = [f"{name}={one}" for name, one in zip(requests["variants"], requests["versions"], strict=True)]
    known = connection.execute(_FIND_EPOCH, epoch).fetchone()
    last = connection.execute(_LAST_ADDED).fetchall()[0][0]
    until = {"until": requests["until"]}
    if known is not None and known[0] == versions:
        connection.execute(_CHANGED, {**epoch, **until, "added": known[1], "before": known[2]})
        connection.execute(f"{_FORGET_UNITS} AND unit IN (FROM changed)", epoch)
        which = "AND unit IN (FROM changed)"
    else:
        connection.execute(_FORGET_UNITS, epoch)
        which = ""
    connection.execute(f"INSERT INTO counted_units {_counting(which)}", {**requests, "since": 0.0})
    connection.execute(_FORGET_EPOCH, epoch)
    connection.execute(_NOTE_EPOCH, {**epoch, **until, "versions": versions, "added": last})


def _counting(which: str = "") -> str:
    """Return the query that counts units, those of all requests or of those that also meet a condition."""
    return _UNITS.format(which=which, shares=_of_columns(_SHARE), sums=_of_columns(_SUMS))


def _of_columns(template: str) -> str:
    return ", ".join(template.format(column=column) for column in COLUMNS.values())


def _summarize(
    connection: DuckDBPyConnection, table: str, epoch: Mapping[str, Any]
) -> tuple[float | None, dict[str, int], dict[str, dict[str, UnitSummary]]]:
    """Return the time of the newest request, the units by variant, and their summaries."""
    expressions = [sql_columns([f"{column} over", f"{column} under"]) for column in COLUMNS.values()]
    columns = ", ".join(chain.from_iterable(expressions))
    of_variants = f"""
        SELECT variant, max(newest_at), count(*), {columns} FROM {table}
        WHERE experiment = $experiment AND epoch = $epoch GROUP BY variant
    """  # noqa: S608 - our own names
    rows = connection.execute(of_variants, epoch).fetchall()
    found: dict[str, dict[str, UnitSummary]] = {metric: {} for metric in COLUMNS}
    for variant, _, _, *figures in rows:
        parts = iter(figures)
        for metric, its in zip(COLUMNS, expressions, strict=True):
            found[metric][variant] = UnitSummary.of_row((OVER, UNDER), list(islice(parts, len(its))))
    return max((row[1] for row in rows), default=None), {row[0]: row[2] for row in rows}, found
