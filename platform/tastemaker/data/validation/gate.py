"""Interface of validation: rules for rows, their results, and the limit for a batch.

The rules are written with the library that checks them (`expectations/`), which this package does not import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.lake import SCHEMAS
from tastemaker.data.lake_files import open_duckdb, quoted
from tastemaker.data.tables import QUARANTINE, nullable
from tastemaker.errors import GateError

MAX_QUARANTINED_SHARE = 0.5
"""A batch with a larger share of its rows in quarantine is refused as a whole."""


Progress = Callable[[str, int, int], None]
"""Called during work with its name, the number of days done and the number of all days."""


class ValidationRule(NamedTuple):
    """A condition that an accepted row satisfies."""

    name: str
    """Name in snake case, used in counts and in quarantine."""
    meaning: str
    """What is wrong with a row that fails, as a sentence."""
    fix: str
    """What to do about it, as a sentence."""


class RowChecks(NamedTuple):
    """Result of a check of rows: every row is in one of the two tables."""

    accepted: pa.Table
    """Rows that failed no rule, in the canonical columns, nullable."""
    quarantined: pa.Table
    """All other rows, as QUARANTINE."""
    counts: dict[str, int]
    """First failed rule -> number of rows, in the suite's order, without rules that no row failed."""


class Gate(Protocol):
    """Checks rows of the tables events, items and users."""

    @property
    def version(self) -> str:
        """Version of the rules: when it changes, all landed days are validated again."""

    def rules(self, table: str) -> Sequence[ValidationRule]:
        """Return the table's rules, in the order in which a row is checked."""

    def check(self, table: str, chunk: pa.Table) -> RowChecks:
        """Check rows of a table by all its rules.

        Args:
            table: events, items or users.
            chunk: The rows: the canonical columns, nullable, and further ones that rules use.

        Returns:
            The rows in two tables, each in the order of the chunk.
        """


@dataclass
class GateCounts:
    """Number of a table's rows by result: read = accepted + quarantined."""

    read: int = 0
    accepted: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    """First failed rule -> number of rows."""

    def add(self, other: GateCounts) -> None:
        """Add other counts."""
        self.read += other.read
        self.accepted += other.accepted
        for rule, rows in other.quarantined.items():
            self.quarantined[rule] = self.quarantined.get(rule, 0) + rows

    @property
    def refused(self) -> int:
        """Number of rows in quarantine, for all reasons."""
        return sum(self.quarantined.values())


def check_batch(table: str, counts: GateCounts, rules: Iterable[ValidationRule]) -> None:
    """Refuse a batch that is empty or mostly quarantined.

    Items and users may be empty: a source need not have such tables.

    Args:
        table: events, items or users.
        counts: Of the batch.
        rules: The table's rules.

    Raises:
        GateError: The batch is refused.
    """
    if counts.read == 0 and table == "events":
        raise GateError(
            f"the table {table} is empty: 0 rows were read",
            fix="check that the source names the right file, table or period",
        )
    if counts.refused <= MAX_QUARANTINED_SHARE * counts.read:
        return
    meanings = {rule.name: rule for rule in rules}
    worst = max(counts.quarantined, key=lambda name: counts.quarantined[name])
    share = counts.refused / counts.read
    extent = "every row" if counts.accepted == 0 else f"{share:.1%} of the rows"
    raise GateError(
        f"{extent} of {table} ({counts.refused:,} of {counts.read:,}) went to quarantine; at most "
        f"{MAX_QUARANTINED_SHARE:.0%} may. The commonest reason is {worst} "
        f"({counts.quarantined[worst]:,} rows): {meanings[worst].meaning}",
        fix=f"{meanings[worst].fix} `tastemaker data check` shows examples of every reason.",
    )


def partition_rows(
    source: str, table: str, chunk: pa.Table, rules: Sequence[str], failed: NDArray[np.bool_]
) -> RowChecks:
    """Split rows into accepted and quarantined ones.

    Args:
        source: Name of the source.
        table: events, items or users.
        chunk: The rows that were checked.
        rules: Names of the rules, in the order in which a row is checked.
        failed: bool[rows, rules].

    Returns:
        The rows in two tables, each in the order of the chunk; a row counts for the first rule it failed.
    """
    sound = ~failed.any(axis=1)
    schema = nullable(SCHEMAS[table])
    rows, columns = np.nonzero(failed)
    _, starts = np.unique(rows, return_index=True)
    names = pa.array(rules, pa.string())
    first = columns[starts]
    bad = chunk.filter(pa.array(~sound))
    counted = np.bincount(first, minlength=len(rules))
    return RowChecks(
        accepted=chunk.select(schema.names).filter(pa.array(sound)).cast(schema),
        quarantined=pa.table(
            [
                pa.repeat(source, len(bad)),
                pa.repeat(table, len(bad)),
                _days(bad),
                names.take(pa.array(first)),
                pa.ListArray.from_arrays(
                    pa.array(np.append(starts, len(columns)), pa.int32()), names.take(pa.array(columns))
                ),
                _as_json(table, bad),
            ],
            schema=QUARANTINE,
        ),
        counts={rule: int(n) for rule, n in zip(rules, counted, strict=True) if n},
    )


def _days(rows: pa.Table) -> pa.Array:
    if "occurred_at" not in rows.column_names:
        return pa.nulls(len(rows), pa.date32())
    return rows.column("occurred_at").combine_chunks().cast(pa.date32())


def _as_json(table: str, rows: pa.Table) -> pa.Array:
    """Return each row as JSON text: its raw columns if the source gave any, else the canonical ones."""
    if not len(rows):  # as most often
        return pa.array([], pa.string())
    raw = [name for name in rows.column_names if name.startswith("raw_")]
    shown = rows.select(raw or [name for name in SCHEMAS[table].names if name in rows.column_names])
    shown = shown.rename_columns([name.removeprefix("raw_") for name in shown.column_names])
    with open_duckdb() as connection:
        connection.register("rows", shown)
        texts = ", ".join(
            quoted(field.name)
            if pa.types.is_map(field.type)
            else f"CAST({quoted(field.name)} AS VARCHAR) AS {quoted(field.name)}"
            for field in shown.schema
        )
        text = connection.table("rows").project(texts).set_alias("shown")
        found = text.project("CAST(to_json(shown) AS VARCHAR) AS raw").to_arrow_table()
    return found.column("raw").combine_chunks()
