"""The rows of the newest ingested days beside those of the days before, as their source gave them.

DuckDB computes the figures over all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal, NamedTuple

import duckdb
import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import day_of, literal, quoted

TABLE = "landed_events"
EXAMPLES = 3
SAMPLED_ROWS = 50_000
"""Rows per side in a sample."""
MOST_LABELS = 30
"""Labels of a column in a sample, the most frequent of the newest days; the rest are one."""
Period = Literal["newest", "earlier"]

_VIEW = """
SELECT * EXCLUDE (filename), regexp_extract(filename, 'day=([0-9-]+)', 1)::DATE AS ingested_day,
    parse_filename(filename, true) AS source
FROM read_parquet($files, union_by_name = true, hive_partitioning = false, filename = true)
"""
_OUTSIDE = """
SELECT avg((VALUE NOT BETWEEN low AND high)::INTEGER)
FROM newest, (SELECT min(VALUE) AS low, max(VALUE) AS high FROM earlier WHERE isfinite(VALUE))
WHERE isfinite(VALUE)
"""
_NEW_LABELS = """
SELECT DISTINCT LABEL AS label FROM newest
WHERE LABEL NOT IN (SELECT LABEL FROM earlier WHERE LABEL IS NOT NULL) ORDER BY label LIMIT ?
"""
_AGAIN = """
WITH delivered AS (
    SELECT event_id, source, ingested_day FROM newest
    UNION ALL SELECT event_id, source, ingested_day FROM earlier
), firsts AS (SELECT event_id, source, min(ingested_day) AS first_day FROM delivered GROUP BY ALL)
SELECT count(*) FROM newest JOIN firsts USING (event_id, source) WHERE ingested_day > first_day
"""
_BY_DAY = """
SELECT ingested_day::VARCHAR AS day, source, count(*) AS rows,
    count(event_id) - count(DISTINCT event_id) AS repeated, MISSING AS missing
FROM PERIOD GROUP BY ALL ORDER BY ALL
"""


class ColumnFigures(NamedTuple):
    """ColumnFigures of a column in one period."""

    missing: float
    """Share of rows without a value; NaN and infinity are none."""
    low: float | str | None
    """The lowest number or time; None for text, and without a value."""
    high: float | str | None


class IngestedRows:
    """Rows of two periods: the views `newest` and `earlier`, with the columns `ingested_day` and `source`."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        lake: Lake,
        newest: Sequence[date],
        earlier: Sequence[date],
    ) -> None:
        """Open the rows.

        Args:
            connection: A connection of its own.
            lake: The lake with the landed rows.
            newest: The newest days with landed rows, at least one.
            earlier: The days before; there may be none.
        """
        self._connection = connection
        self.columns = self._open("newest", lake, newest)
        """Column -> DuckDB's name of its type, of the newest days."""
        self.earlier_columns = self._open("earlier", lake, earlier) if earlier else {}
        if not earlier:
            connection.execute("CREATE VIEW earlier AS SELECT * FROM newest WHERE false")

    def figures(self, period: Period) -> dict[str, ColumnFigures]:
        """Return the figures of each column of a period."""
        columns = self.columns if period == "newest" else self.earlier_columns
        asked = ", ".join(f"{_missing(name, kind)}, {_range(name, kind)}" for name, kind in columns.items())
        if not asked:
            return {}
        found = self._rows(f"SELECT {asked} FROM {period}")[0]  # noqa: S608 - quoted names of columns
        return {name: ColumnFigures(*found[3 * at : 3 * at + 3]) for at, name in enumerate(columns)}

    def outside(self, name: str) -> float:
        """Return the share of a column's numbers outside of the range that they had before."""
        return self._rows(_OUTSIDE.replace("VALUE", quoted(name)))[0][0] or 0.0

    def new_labels(self, name: str) -> list[str]:
        """Return the first EXAMPLES labels of a column that it did not have before."""
        rows = self._rows(_NEW_LABELS.replace("LABEL", quoted(name)), [EXAMPLES])
        return [label for (label,) in rows]

    def delivered_before(self) -> int:
        """Return the number of newest rows whose event id an earlier day of their source has."""
        return int(self._rows(_AGAIN)[0][0])

    def by_day(self, period: Period) -> list[dict[str, Any]]:
        """Return rows, repeated event ids and missing values of each day and source of a period."""
        columns = self.columns if period == "newest" else self.earlier_columns
        if not columns:
            return []
        missing = " + ".join(f"count(*) FILTER ({_is_missing(*one)})" for one in columns.items())
        query = _BY_DAY.replace("PERIOD", period).replace("MISSING", missing)
        days: list[dict[str, Any]] = self._connection.sql(query).to_arrow_table().to_pylist()
        return days

    def sample(self, period: Period) -> pa.Table:
        """Return at most SAMPLED_ROWS rows of a period, with the columns of both and numbers as ids."""
        names = [name for name in self.columns if not self.earlier_columns or name in self.earlier_columns]
        columns = ", ".join([*(_plain(name, self.columns[name]) for name in names), "source"])
        query = f"SELECT {columns} FROM {period} USING SAMPLE reservoir({SAMPLED_ROWS} ROWS) REPEATABLE (0)"  # noqa: S608 - quoted names
        return self._connection.sql(query).to_arrow_table()

    def _open(self, period: Period, lake: Lake, days: Sequence[date]) -> dict[str, str]:
        files = [literal(path) for path in lake.files(TABLE) if day_of(path) in set(days)]
        self._connection.sql(_VIEW, params={"files": files}).create_view(period)
        described = self._rows(f"DESCRIBE {period}")
        return {row[0]: row[1] for row in described if row[0] not in ("ingested_day", "source")}

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(query, values).fetchall()


def is_number(kind: str) -> bool:
    """Return whether a column of DuckDB's type `kind` holds numbers with a range."""
    return kind in {"DOUBLE", "FLOAT", "INTEGER", "BIGINT"}


def is_label(name: str, kind: str) -> bool:
    """Return whether a column holds labels: text that is not an id.

    Args:
        name: The column's name; those of ids end in `_id`.
        kind: DuckDB's name of its type.
    """
    return kind == "VARCHAR" and not name.endswith("_id")


def _is_missing(name: str, kind: str) -> str:
    column = quoted(name)
    return (
        f"{column} IS NULL OR NOT isfinite({column})" if kind in {"DOUBLE", "FLOAT"} else f"{column} IS NULL"
    )


def _missing(name: str, kind: str) -> str:
    return f"coalesce(avg(({_is_missing(name, kind)})::INTEGER), 0)"


def _range(name: str, kind: str) -> str:
    column = quoted(name)
    if is_number(kind):
        finite = f"{column}::DOUBLE) FILTER (isfinite({column}::DOUBLE)"
        return f"min({finite}), max({finite})"
    if kind.startswith("TIMESTAMP"):
        return ", ".join(f"strftime({end}({column}), '%Y-%m-%d %H:%M:%S')" for end in ("min", "max"))
    return "NULL, NULL"


def _plain(name: str, kind: str) -> str:
    """Return SQL of a column as Evidently is given it: an id as its number in the order of ids."""
    column = quoted(name)
    known = f"CASE WHEN {column} IS NOT NULL THEN"
    if name.endswith("_id"):
        return f"{known} dense_rank() OVER (ORDER BY {column})::VARCHAR END AS {column}"
    if is_number(kind):
        return f"{column}::DOUBLE AS {column}"
    if kind.startswith("TIMESTAMP"):
        return f"{column}::TIMESTAMP AS {column}"  # in UTC: with a zone, Evidently takes it for text
    if is_label(name, kind):
        frequent = f"SELECT {column} FROM newest GROUP BY ALL ORDER BY count(*) DESC LIMIT {MOST_LABELS}"  # noqa: S608
        return f"{known} if({column} IN ({frequent}), {column}, 'all others') END AS {column}"
    return column
