"""Attributes of items and users by number, as models get them: `tastemaker.plugins.attributes`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tastemaker.data.tables import HISTORY, OWN
from tastemaker.data.validation.items_and_users import KEYS
from tastemaker.plugins.arrays import Bool, Int64
from tastemaker.plugins.attributes import Float64, Texts
from tastemaker.plugins.read_only import read_only
from tastemaker.snapshot.ids import IdIndex

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tastemaker.data.lake import Lake

COLUMNS = {"items": ("title", "category", "price"), "users": ("country",)}
"""Standard columns; custom columns follow them."""
_PAST = f"""
    SELECT n.number, epoch_us(received_at) // 1000000 AS time, title, category, price
    FROM {HISTORY} AS h JOIN item_numbers AS n ON n.id = h.item_id ORDER BY n.number, received_at
"""  # noqa: S608 - a constant


@dataclass(frozen=True, eq=False)
class Described:
    """Rows of the table items or users in the order of their numbers, with their known history."""

    rows: pa.Table
    """n present rows: COLUMNS and custom columns, as text; null where unknown."""
    changes: pa.Table
    """m earlier states, with the same columns, of the rows that have a history; by number, oldest first."""
    numbers: Int64
    """int64[m]: the row of each state."""
    times: Int64
    """int64[m]: the time from which each state holds, seconds since 1970 UTC."""

    @classmethod
    def read(cls, connection: DuckDBPyConnection, lake: Lake, table: str) -> Described:
        """Read the rows of numbered items or users, with their known history.

        Args:
            connection: Of the lake, with the temporary table item_numbers or user_numbers.
            lake: Says whether there is a history; only items have one.
            table: items or users.

        Returns:
            A present row per number, in their order; one of an id that the table lacks has nulls.
        """
        rows = _read_rows(connection, table)
        empty = np.empty(0, np.int64)
        if table != "items" or not lake.files(HISTORY):
            return cls(rows, rows.slice(0, 0), empty, empty)
        found = connection.sql(_PAST).to_arrow_table()
        numbers, times = (found[name].to_numpy().astype(np.int64) for name in ("number", "time"))
        return cls(rows, _as(rows.schema, found), numbers, times)

    def at(self, end: int, known: Bool) -> Described:
        """Return the state before a cutoff.

        A row without a history has its present state at all times.

        Args:
            end: The cutoff, seconds since 1970 UTC.
            known: bool[n], the rows that are kept; they are renumbered.

        Returns:
            The kept rows in their last state before the cutoff.
        """
        early = self.times < end
        index = np.arange(len(self.rows))
        index[self.numbers[~early]] = -1
        outdated = early & (index[self.numbers] < 0)
        index[self.numbers[outdated]] = len(self.rows) + np.flatnonzero(outdated)  # the last one stays
        places = pa.array(index[known], mask=index[known] < 0)
        renumbered = np.cumsum(known) - 1
        kept = early & known[self.numbers]
        return Described(
            pa.concat_tables([self.rows, self.changes]).take(places),
            self.changes.filter(pa.array(kept)),
            renumbered[self.numbers[kept]],
            self.times[kept],
        )

    @property
    def digest(self) -> str:
        """Hash of all values and their history: 32 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=16)
        for table in (self.rows, self.changes):
            for name in table.column_names:
                digest.update(f"{name}\0{len(table)}\0".encode("utf-8", "surrogatepass"))
                for part in _bytes(table[name]):
                    digest.update(np.ascontiguousarray(part).view(np.uint8).data)
        for array in (self.numbers, self.times):
            digest.update(array.tobytes())
        return digest.hexdigest()


class ArrowAttributes:
    """`AttributeSource` whose ids and columns are converted to Python values when a model asks for them.

    Args:
        ids: The ids, in the order of their numbers.
        rows: A row per id in the same order, with text and floating columns; null where unknown.
    """

    def __init__(self, ids: IdIndex, rows: pa.Table) -> None:
        self._ids = ids
        self._rows = rows
        self.names = tuple(rows.column_names)

    def __len__(self) -> int:
        return len(self._ids)

    def ids(self) -> Texts:
        return tuple(self._ids.decode(np.arange(len(self._ids))))

    def column(self, name: str) -> Texts | Float64:
        values = self._rows[name]
        if pa.types.is_floating(values.type):
            numbers: Float64 = np.array(pc.fill_null(values, np.nan).to_numpy(), np.float64)
            return read_only(numbers)
        return tuple(pc.fill_null(values, "").to_pylist())


def _read_rows(connection: DuckDBPyConnection, table: str) -> pa.Table:
    numbered = f"{table.removesuffix('s')}_numbers"
    own = [
        name
        for (name,) in connection.execute(
            f"SELECT DISTINCT unnest(map_keys({OWN})) AS name FROM {table} ORDER BY name"  # noqa: S608
        ).fetchall()
    ]
    names = (*COLUMNS[table], *own)
    values = [*(f"t.{name}" for name in COLUMNS[table]), *(f"t.{OWN}[$own{at}]" for at in range(len(own)))]
    columns = ", ".join(f"min({value}) AS column{at}" for at, value in enumerate(values))
    found = connection.sql(
        f"SELECT n.number, {columns} FROM {numbered} AS n "  # noqa: S608 - constants of this module
        f"LEFT JOIN {table} AS t ON t.{KEYS[table]} = n.id GROUP BY n.number ORDER BY n.number",
        params={f"own{at}": name for at, name in enumerate(own)},
    ).to_arrow_table()
    rows = found.drop_columns(["number"]).rename_columns(list(names))
    kinds = [pa.float64() if name == "price" and table == "items" else pa.large_string() for name in names]
    return rows.cast(pa.schema(list(zip(names, kinds, strict=True)))).combine_chunks()


def _as(schema: pa.Schema, rows: pa.Table) -> pa.Table:
    """Return the columns of a schema; null where `rows` lacks the column."""
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _bytes(values: pa.ChunkedArray) -> tuple[NDArray[np.generic], ...]:
    """Return a column's values as arrays of bytes, equal for any storage; null equals empty."""
    if pa.types.is_floating(values.type):
        return (np.array(pc.fill_null(values, np.nan).to_numpy()),)
    texts = pc.fill_null(values, "")
    return (pc.binary_length(texts).to_numpy(), *map(_text_bytes, texts.chunks))


def _text_bytes(texts: pa.LargeStringArray) -> NDArray[np.generic]:
    """Return the texts, concatenated in UTF-8, without a Python object per text."""
    _, offsets, data = texts.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    first, last = np.frombuffer(offsets, np.int64)[[texts.offset, texts.offset + len(texts)]].tolist()
    return np.frombuffer(data, np.uint8)[first:last]
