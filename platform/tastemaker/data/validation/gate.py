"""The gate: what stands between rows as they came and rows that models learn from.

The rules are written with the library that checks them (`expectations/`); this module says what any gate
does, so that `ingest` needs to know none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.lake import SCHEMAS, open_duckdb, quoted
from tastemaker.data.tables import QUARANTINE, nullable
from tastemaker.errors import GateError

MAX_QUARANTINED_SHARE = 0.5
"""A batch with more than this share of its rows in quarantine says something else than what was asked for."""


Progress = Callable[[str, int, int], None]
"""Called as work goes on, with its name, how many days are done and how many there are."""


class Rule(NamedTuple):
    """One thing that a sound row satisfies, for people."""

    name: str
    """In snake case; what counts and quarantined rows are filed under."""
    meaning: str
    """What is wrong with a row that fails, as a sentence."""
    fix: str
    """What to do about it, as a sentence."""


class RowChecks(NamedTuple):
    """A chunk, parted: every row is in one of the two tables."""

    accepted: pa.Table
    """The rows that failed no rule, in the canonical columns; nullable, as the chunk was."""
    quarantined: pa.Table
    """The others: QUARANTINE."""
    counts: dict[str, int]
    """First failed rule -> rows, in the suite's order; rules that no row failed are left out."""


class Gate(Protocol):
    """Checks rows of the tables events, items and users."""

    @property
    def version(self) -> str:
        """Changes when a rule does: then what was admitted under the old rules is looked at again."""

    def rules(self, table: str) -> Sequence[Rule]:
        """The table's rules, in the order in which a row is judged."""

    def check(self, table: str, chunk: pa.Table) -> RowChecks:
        """Part a chunk into sound rows and others. Order is kept."""


@dataclass
class GateCounts:
    """What became of a table's rows: read = accepted + quarantined, always."""

    read: int = 0
    accepted: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    """First failed rule -> rows."""

    def add(self, other: GateCounts) -> None:
        """Count `other` in."""
        self.read += other.read
        self.accepted += other.accepted
        for rule, rows in other.quarantined.items():
            self.quarantined[rule] = self.quarantined.get(rule, 0) + rows

    @property
    def refused(self) -> int:
        """Rows in quarantine, whatever the reason."""
        return sum(self.quarantined.values())


def check_batch(table: str, counts: GateCounts, rules: Iterable[Rule]) -> None:
    """Refuse a batch that can't be what was meant. Raises GateError in plain words.

    Items and users may be empty: a source need not tell of them, then only events do.
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
    """Part a chunk by what each row failed: bool[rows, rules], the rules in the order of judgement."""
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
    """Each row as it came: the raw columns if the source gave any, else the canonical ones; all as text."""
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
