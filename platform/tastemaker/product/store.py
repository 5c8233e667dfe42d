"""The platform's own rows of `measurements`, and which days they were computed from: `measured_days`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, and_, bindparam, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from tastemaker.product.cell import Cell
from tastemaker.product.definitions import DEFINITIONS
from tastemaker.product.plan import WindowOfMetric
from tastemaker.product.shop_days import ONE_DAY, ShopDays
from tastemaker.storage.tables import OWN_SOURCE, measured_days, measurements

Part = Literal["log", "activity"]
"""What a day is of: requests and what came of them, or what users did."""
BATCH_ROWS = 5_000


class MeasurementStore:
    """The measurements of one problem."""

    def __init__(self, engine: Engine, problem: str, days: ShopDays) -> None:
        """Use a database.

        Args:
            engine: The metadata database.
            problem: The problem's name.
            days: The shop's days, which windows begin and end with.
        """
        self._engine, self._problem, self._days = engine, problem, days

    def measured(self, part: Part) -> dict[date, str]:
        """Return the digests of the days that the stored measurements were computed from."""
        wanted = select(measured_days.c.day, measured_days.c.digest).where(
            measured_days.c.problem == self._problem, measured_days.c.part == part
        )
        with self._engine.connect() as connection:
            return {row.day: row.digest for row in connection.execute(wanted)}

    def replace(
        self,
        cells: Iterable[Cell],
        computed: Collection[WindowOfMetric],
        valid: Collection[WindowOfMetric],
        kept_from: Mapping[str, date],
        days: Mapping[Part, Mapping[date, str]],
    ) -> tuple[int, int]:
        """Replace the rows of computed windows, in one transaction, and delete those of no valid window.

        Args:
            cells: The figures of the computed windows.
            computed: The windows that these are all rows of.
            valid: All windows that the data has.
            kept_from: Metric -> first day of which data is kept; rows of windows that begin earlier stay as
                they are.
            days: The digests of the days that all rows are now computed from.

        Returns:
            The number of rows written, and of windows whose rows were deleted without new ones.
        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            stale = self._stale(connection, valid, kept_from)
            self._delete(connection, [*(self._key(one) for one in computed), *stale])
            written = sum(self._insert(connection, batch) for batch in self._batches(cells, now))
            for part, digests in days.items():
                self._note(connection, part, digests)
        return written, len(stale)

    def _key(self, one: WindowOfMetric) -> dict[str, Any]:
        window = one.window
        return {
            "own_metric": one.metric,
            "own_start": self._days.start(window.first),
            "own_end": self._days.end(window.last),
        }

    def _stale(
        self, connection: Connection, valid: Collection[WindowOfMetric], kept_from: Mapping[str, date]
    ) -> list[dict[str, Any]]:
        """Return the keys of stored windows that the data does not have (any more)."""
        columns = (measurements.c.metric, measurements.c.window_start, measurements.c.window_end)
        stored = connection.execute(select(*columns).where(self._own()).distinct())
        known = {tuple(self._key(one).values()) for one in valid}
        return [
            {"own_metric": metric, "own_start": start, "own_end": end}
            for metric, start, end in stored
            if (metric, start, end) not in known
            and (metric not in kept_from or start >= self._days.start(kept_from[metric]))
        ]

    def _own(self) -> Any:
        return and_(measurements.c.source == OWN_SOURCE, measurements.c.problem == self._problem)

    def _delete(self, connection: Connection, keys: list[dict[str, Any]]) -> None:
        if keys:
            statement = delete(measurements).where(
                self._own(),
                measurements.c.metric == bindparam("own_metric"),
                measurements.c.is_complete == bindparam("own_complete"),
                measurements.c.window_start == bindparam("own_start"),
                measurements.c.window_end == bindparam("own_end"),
            )
            # Complete and not: so that the index of newest windows leads to the rows.
            both = [key | {"own_complete": is_complete} for key in keys for is_complete in (True, False)]
            connection.execute(statement, both)

    def _batches(self, cells: Iterable[Cell], now: datetime) -> Iterator[list[dict[str, Any]]]:
        rows: list[dict[str, Any]] = []
        for cell in cells:
            rows.append(self._row(cell, now))
            if len(rows) == BATCH_ROWS:
                yield rows
                rows = []
        if rows:
            yield rows

    def _row(self, cell: Cell, now: datetime) -> dict[str, Any]:
        return {
            "source": OWN_SOURCE,
            "problem": self._problem,
            **cell.group._asdict(),
            "slice": cell.slice,
            "metric": cell.metric,
            "window_start": self._days.start(cell.window.first),
            "window_end": self._days.start(cell.window.last + ONE_DAY),
            "unit": DEFINITIONS[cell.metric].unit,
            "value": cell.value,
            "low": cell.low,
            "high": cell.high,
            "n": cell.n,
            "is_complete": cell.is_complete,
            "computed_at": now,
        }

    def _insert(self, connection: Connection, rows: list[dict[str, Any]]) -> int:
        """Insert rows; one that another home of the same problem wrote in the meantime is replaced."""
        dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        statement = dialect.insert(measurements)
        keys = [column.name for column in measurements.primary_key]
        others = {one.name: statement.excluded[one.name] for one in measurements.c if not one.primary_key}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), rows)
        return len(rows)

    def _note(self, connection: Connection, part: Part, digests: Mapping[date, str]) -> None:
        own = and_(measured_days.c.problem == self._problem, measured_days.c.part == part)
        connection.execute(delete(measured_days).where(own))
        rows = [
            {"problem": self._problem, "part": part, "day": day, "digest": digest}
            for day, digest in digests.items()
        ]
        if rows:
            connection.execute(insert(measured_days), rows)
