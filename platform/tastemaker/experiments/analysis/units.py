"""The table of units of an experiment, from the lake.

    exposures --> first exposure of each unit --> its events and lists by day since then --> one row per unit

A unit's window begins with its first exposure, and its variant is that of this exposure, whatever happened
later: that is what chance assigned. Forced exposures are not in the table. A unit is mature once every type
of event that the metrics use has arrived until the end of its window: see `event_log.arrivals`.

Which events are a unit's depends on what is assigned. Of a user or a device they are all rewarded events of
its users, whichever list they came from, without a discount for delay: an event of no list has no delay. Of a
session or a request, of which a user has several, they are those credited to its lists by attribution. The
figures of lists are those of the experiment's own lists that the unit got in its window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tastemaker.data.lake_files import quoted
from tastemaker.data.tables import OWN, USERS
from tastemaker.errors import TastemakerError
from tastemaker.event_log.arrivals import Arrival, read_arrivals
from tastemaker.event_log.exposures import exposures
from tastemaker.event_log.log_join import CLOCK_SKEW_SECONDS, credit_events, find_reward_events
from tastemaker.event_log.records import IMPRESSION
from tastemaker.experiments.analysis import unit_sql
from tastemaker.experiments.analysis.unit_table import (
    COVARIATES,
    Int64,
    SliceValues,
    Stratum,
    UnitDays,
    UnitTable,
)
from tastemaker.experiments.design import Design
from tastemaker.experiments.plan import Unit
from tastemaker.experiments.unit_metrics import (
    ORIGINS,
    UnitMetric,
    counted_types,
    events_column,
    find_all,
)
from tastemaker.problem import ProblemSpec
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "500MB"
"""DuckDB spills to disk beyond this: a million units fit into a gigabyte, with Python and the table."""
SLOW_MS = 100.0
"""A list that took longer is slow, as in the alert `slow`."""


@dataclass(frozen=True, kw_only=True)
class UnitQuery:
    """Which units, with which figures."""

    experiment: str
    epochs: range
    """Each unit counts by the epoch of its first exposure in these."""
    unit: Unit
    variants: tuple[str, ...]
    metrics: Mapping[str, UnitMetric]
    primary: UnitMetric | None = None
    """The metric whose figures are also given by day; None: none."""
    window_days: float
    covariate_days: float = 0.0
    versions: Mapping[str, str | None]
    """Variant -> its frozen version; None where it is a recipe, or a flag."""
    slices: tuple[str, ...] = ()
    slow_ms: float = SLOW_MS
    started_at: float = 0.0
    """Seconds since 1970 UTC: an exposure that a wrong clock puts before counts from then on."""

    @classmethod
    def of(
        cls, design: Design, epochs: range, unit: Unit, problem: ProblemSpec, *, started_at: float = 0.0
    ) -> UnitQuery:
        """Return what the looks at a design need.

        Args:
            design: Gives the metrics, the variants, the windows and the slices.
            epochs: The epochs in force: one, or several of a bandit.
            unit: The unit of the design's namespace.
            problem: Gives each event type its reward.
            started_at: As in the field.

        Raises:
            TastemakerError: There is no metric of a name in the design, or no event carries it.
        """
        guardrails = (one.metric for one in design.guardrails)
        metrics = find_all((design.primary, *design.secondary, *guardrails), problem)
        return cls(
            experiment=design.name,
            epochs=epochs,
            unit=unit,
            variants=tuple(design.variants),
            metrics=metrics,
            primary=metrics[design.primary],
            window_days=design.window_days,
            covariate_days=design.covariate_days,
            versions={name: one.version for name, one in design.variants.items()},
            slices=design.slices,
            started_at=started_at,
        )

    @property
    def is_credited(self) -> bool:
        """Whether a user has several units, so that events are those credited to the unit's lists."""
        return self.unit in ("session", "request")

    @property
    def columns(self) -> list[str]:
        """The columns of all metrics."""
        return list(dict.fromkeys(column for one in self.metrics.values() for column in one.columns))

    @property
    def window_seconds(self) -> float:
        """The window's length."""
        return self.window_days * DAY_SECONDS

    @property
    def has_lists(self) -> bool:
        """Whether the figures of lists are needed, too."""
        return bool(self.origins & {"lists", "credits"})

    @property
    def origins(self) -> set[str]:
        """What the columns are computed from."""
        found: set[str] = {origin for one in self.metrics.values() for origin in one.origins}
        return found | {"credits"} if self.is_credited and "events" in found else found


def read_units(
    connection: DuckDBPyConnection, query: UnitQuery, problem: ProblemSpec, now: datetime
) -> UnitTable:
    """Return the table of the units that an experiment exposed.

    Args:
        connection: Of the lake. It gets temporary tables, so that it serves one call.
        query: Which units, with which figures.
        problem: Gives each event type its reward.
        now: What is dated later is not data yet, such as that of a wrong clock.

    Raises:
        TastemakerError: A unit has a variant that the design does not have, or a metric can't be computed.
    """
    exposures(connection).create_view("exposures_of_all")
    which = {
        "experiment": query.experiment,
        "first_epoch": query.epochs.start,
        "last_epoch": query.epochs[-1],
        "since": query.started_at,
    }
    connection.execute(unit_sql.EXPOSED, which | {"now": now.timestamp()})
    return read_exposed(connection, query, problem, now)


def read_exposed(
    connection: DuckDBPyConnection, query: UnitQuery, problem: ProblemSpec, now: datetime
) -> UnitTable:
    """Return the table of the units that are in the temporary table `exposed`.

    Args:
        connection: Of the lake, with `exposed`. It gets more temporary tables, so that it serves one call.
        query: Which figures.
        problem: Gives each event type its reward.
        now: What is dated later is not data yet, such as that of a wrong clock.

    Raises:
        TastemakerError: A unit has a variant that the query does not have, or a metric can't be computed.
    """
    _check_versions(query)
    connection.execute("SET memory_limit=?", [MEMORY_LIMIT])
    _read_log(connection, query, now.timestamp())
    _check_lists(connection, query)
    find_reward_events(connection, problem, until=np.nextafter(now.timestamp(), np.inf))
    arrived, until = _arrivals(connection, query, problem, now.timestamp())
    _read_events(connection, query, until)
    if query.has_lists:
        _read_lists(connection, query)
    sql, parameters = _table(query)
    rows = connection.sql(sql, params=parameters).to_arrow_table()
    return UnitTable(
        variants=query.variants,
        variant=_numbers(query, rows["variant"]),
        exposed_at=rows["exposed_at"].to_numpy(),
        columns={name: rows[name].to_numpy() for name in (*query.columns, *COVARIATES)},
        window_seconds=query.window_days * DAY_SECONDS,
        until=until,
        strata=tuple(_strata(connection, query)),
        stratum=rows["stratum"].to_numpy(),
        is_crossed=rows["is_crossed"].to_numpy(),
        slices={name: _slice_values(rows[f"slice_{n}"]) for n, name in enumerate(query.slices)},
        days=_days(connection, query),
        arrivals=arrived,
    )


def _arrivals(
    connection: DuckDBPyConnection, query: UnitQuery, problem: ProblemSpec, now: float
) -> tuple[tuple[Arrival, ...], float]:
    """Return the arrivals of the types of events that the metrics use, and until when the log has them all.

    Lists are logged as they are answered, but events may come a day later, from a source: where metrics count
    events, the log reaches until the time until which each type has arrived.

    Args:
        connection: Of the lake.
        query: Which metrics.
        problem: Says which events are rewarded.
        now: Seconds since 1970 UTC; later times are not data yet.

    Returns:
        The arrivals in the order of names, and a time that is at most now, in seconds since 1970 UTC; minus
        infinity where there is no data.
    """
    types = sorted(counted_types(query.metrics.values(), problem))
    if not types:
        known = connection.execute(unit_sql.LISTS_UNTIL, {"now": now}).fetchall()[0][0]
        return (), -np.inf if known is None else float(known)
    came = {one.event_type: one for one in read_arrivals(connection)}
    used = tuple(came.get(name, Arrival.never(name)) for name in types)
    awaited = [one.until for one in used if not one.is_over]
    known_until = [one.until for one in used if one.event_type in came] or [
        one.until for one in came.values()
    ]
    return used, min(awaited) if awaited else max(known_until, default=-np.inf)


def _check_versions(query: UnitQuery) -> None:
    without = [name for name in query.variants if query.versions.get(name) is None]
    if "wrong_version_lists" in query.columns and without:
        raise TastemakerError(
            f"wrong_version_share needs a frozen version of each variant; {', '.join(without)} has none",
            fix="leave this metric out, or name the variant's version in the design",
        )


def _check_lists(connection: DuckDBPyConnection, query: UnitQuery) -> None:
    """Refuse metrics of lists where the shop's own code exposed all units: they would be 0."""
    units, lists = connection.execute(unit_sql.EXPOSED_BY_LISTS).fetchall()[0]
    if units and not lists and query.has_lists:
        names = ", ".join(
            name for name, one in query.metrics.items() if query.is_credited or one.origins - {"events"}
        )
        raise TastemakerError(
            f"no exposure of {query.experiment} is a list, and {names} can't be computed without lists",
            fix="choose metrics of users' events, such as reward_per_user or active_share",
        )


def _read_log(connection: DuckDBPyConnection, query: UnitQuery, now: float) -> None:
    """Create `firsts`, the lists of the units' users, and each event that was reported, once."""
    connection.execute(unit_sql.FIRSTS)
    connection.execute(unit_sql.UNIT_USERS)
    if query.unit == "device":
        connection.execute(unit_sql.CROSSED_USERS)
    lists = unit_sql.LISTS if "credits" in query.origins else ""
    before = max(query.covariate_days * DAY_SECONDS, CLOCK_SKEW_SECONDS)
    connection.execute(
        unit_sql.LOGGED.format(lists=lists), {"since": query.started_at, "before": before, "now": now}
    )
    connection.execute(unit_sql.REPEATED)
    connection.execute(unit_sql.FIRST_LOGGED)
    connection.execute(unit_sql.REPORTED)


def _read_events(connection: DuckDBPyConnection, query: UnitQuery, until: float) -> None:
    """Create `event_days`, figures of the units' events by day, and what they need of the lists."""
    window = {"window": query.window_seconds}
    connection.execute(unit_sql.WITHOUT_LATER, {"until": until})
    connection.execute(
        unit_sql.USERS_EVENTS,
        {
            "before": query.covariate_days * DAY_SECONDS,
            "window": 0.0 if query.is_credited else query.window_seconds,
            "skew": CLOCK_SKEW_SECONDS,
            "impression": IMPRESSION,
        },
    )
    if query.has_lists:
        connection.execute(unit_sql.UNIT_LISTS, window)
    if "credits" in query.origins:
        credit_events(connection, until=until, only_named=True)
        connection.execute(unit_sql.UNIT_CREDITS, window)
    if query.is_credited and "credits" in query.origins:
        connection.execute(unit_sql.CREDITED_EVENTS)
    types = list(enumerate(one.event_type for one in query.metrics.values() if one.event_type))
    typed = "".join(
        f", count(*) FILTER (event_type = $type_{n})::DOUBLE AS {quoted(events_column(name))}"
        for n, name in types
    )
    names = {f"type_{n}": name for n, name in types}
    connection.execute(unit_sql.EVENT_DAYS.format(typed=typed), {"day": float(DAY_SECONDS), **names})


def _read_lists(connection: DuckDBPyConnection, query: UnitQuery) -> None:
    """Create `list_days`, figures of the units' lists by day."""
    if "credits" not in query.origins:
        connection.execute(unit_sql.NO_CREDITS)
    designed = [{"variant": name, "designed": query.versions.get(name)} for name in query.variants]
    schema = pa.schema([("variant", pa.string()), ("designed", pa.string())])
    connection.register("designed_versions", pa.Table.from_pylist(designed, schema=schema))
    connection.execute(unit_sql.LIST_DAYS, {"day": float(DAY_SECONDS), "slow": query.slow_ms})


def _table(query: UnitQuery) -> tuple[str, dict[str, Any]]:
    """Return the SQL of one row per unit, with its parameters."""
    of_events = [
        f"{'max' if name == 'is_active' else 'sum'}({quoted(name)}) FILTER (day >= 0) AS {quoted(name)}"
        for name in query.columns
        if not _is_of_lists(name)
    ]
    of_lists = [f"sum({quoted(name)}) AS {quoted(name)}" for name in query.columns if _is_of_lists(name)]
    joins, slices, parameters = "", "", {"before": query.covariate_days * DAY_SECONDS}
    if of_lists:
        sums = f"SELECT row, {', '.join(of_lists)} FROM list_days GROUP BY row"  # noqa: S608 - our own
        joins += f"LEFT JOIN ({sums}) AS list_sums USING (row) "
    if query.slices:
        joins += unit_sql.USERS
    names: dict[str, Any] = {}
    for n, name in enumerate(query.slices):
        if name in USERS.names:
            slices += f", users.{quoted(name)}::VARCHAR AS slice_{n}"
        else:
            slices += f", users.{OWN}[$slice_{n}] AS slice_{n}"
            names[f"slice_{n}"] = name
    sql = unit_sql.TABLE.format(
        event_sums="".join(f"{one}, " for one in of_events),
        columns=", ".join(f"coalesce({quoted(name)}, 0)::DOUBLE AS {quoted(name)}" for name in query.columns),
        covariates=", ".join(f"{sql} AS {name}" for name, sql in unit_sql.COVARIATE_SQL.items()),
        slices=slices,
        joins=joins,
    )
    return sql, parameters | names


def _is_of_lists(column: str) -> bool:
    return ORIGINS.get(column, "events") != "events"


def _numbers(query: UnitQuery, names: pa.ChunkedArray) -> Int64:
    """Return the numbers of variants."""
    encoded = names.combine_chunks().dictionary_encode()
    known = {name: number for number, name in enumerate(query.variants)}
    foreign = [name for name in encoded.dictionary.to_pylist() if name not in known]
    if foreign:
        raise TastemakerError(
            f"the log of {query.experiment} has units of {', '.join(foreign)}, which its design lacks",
            fix=f"analyse it by the design that it ran with; this one has {', '.join(query.variants)}",
        )
    numbers = np.array([known[name] for name in encoded.dictionary.to_pylist()], np.int64)
    found: Int64 = numbers[encoded.indices.to_numpy()]
    return found


def _slice_values(values: pa.ChunkedArray) -> SliceValues:
    encoded = values.combine_chunks().dictionary_encode()
    names = tuple(str(name) for name in encoded.dictionary.to_pylist())
    return SliceValues(names, encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy())


def _strata(connection: DuckDBPyConnection, query: UnitQuery) -> Iterator[Stratum]:
    """Yield the plans under which units were enrolled, in the order of the column `stratum`."""
    logged: dict[tuple[int, str], dict[str, float]] = {}
    for epoch, plan, variant, low, high in connection.execute(unit_sql.STRATA).fetchall():
        if high - low > 1e-9:
            raise TastemakerError(
                f"the log of {query.experiment} gives {variant} the probabilities {low:g} and {high:g} "
                f"in epoch {epoch} under one plan ({plan or 'without a digest'})",
                fix="log a new epoch, or another plan digest, whenever the ratio changes",
            )
        logged.setdefault((epoch, plan), {})[variant] = high
    for (epoch, plan), known in logged.items():
        yield Stratum(epoch, plan, tuple(known.get(name, np.nan) for name in query.variants))


def _days(connection: DuckDBPyConnection, query: UnitQuery) -> UnitDays | None:
    """Return the primary metric's columns by unit and day."""
    if query.primary is None:
        return None
    over, under = query.primary.over, query.primary.under
    table = "list_days" if _is_of_lists(over) else "event_days"
    columns = f"{quoted(over)}::DOUBLE AS over, {'1.0' if under is None else quoted(under)}::DOUBLE AS under"
    sql = f"SELECT row, day, {columns} FROM {table} WHERE day >= 0 ORDER BY row, day"  # noqa: S608 - our own
    rows = connection.sql(sql).to_arrow_table()
    return UnitDays(*(rows[name].to_numpy() for name in UnitDays._fields))
