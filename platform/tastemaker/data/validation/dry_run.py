"""Dry run of validation: results for landed rows, without publishing any."""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.lake import Lake, parquet_writer
from tastemaker.data.lake_files import day_of
from tastemaker.data.tables import EVENTS, nullable
from tastemaker.data.validation.gate import Gate, GateCounts, Progress, ValidationRule, check_batch
from tastemaker.data.validation.items_and_users import check_items_and_users
from tastemaker.data.validation.publishing import check_days, find_repeats
from tastemaker.errors import GateError

EXAMPLES = 3
"""Number of rows shown for each reason."""


class Finding(NamedTuple):
    """A reason for which rows would go to quarantine."""

    rule: ValidationRule
    rows: int
    examples: tuple[dict[str, Any], ...]
    """The first such rows, as the source gave them."""


class InspectedTable(NamedTuple):
    """Result of a dry run for a table."""

    table: str
    rows_read: int
    rows_accepted: int
    findings: tuple[Finding, ...]
    """In the suite's order."""


class Inspection(NamedTuple):
    """Result of a dry run for everything that a source landed."""

    tables: tuple[InspectedTable, ...]
    refused: GateError | None
    """The reason why the whole batch would be refused; None if it would be accepted."""
    catalogues: dict[str, pa.Table]
    """items and users -> their accepted rows."""


def inspect(
    source: str, lake: Lake, gate: Gate, *, chunk_rows: int = 250_000, progress: Progress | None = None
) -> Inspection:
    """Validate everything that a source landed.

    Args:
        source: Name of the source.
        lake: A temporary lake; accepted events are written into it.
        gate: The rules that rows are checked by.
        chunk_rows: The most rows in memory.
        progress: Called after each day.

    Returns:
        Counts, and examples of each reason.
    """
    days = [day_of(path) for path in lake.files("landed_events", part=source)]
    counts = {"events": GateCounts()}
    examples: dict[str, dict[str, list[dict[str, Any]]]] = {"events": {}}
    pieces = check_days(lake, source, gate, days, find_repeats(lake, source), chunk_rows)
    for done, (day, checked) in enumerate(groupby(pieces, key=itemgetter(0)), start=1):
        with parquet_writer(lake.path("events", day, part=source), nullable(EVENTS)) as events:
            for piece in checked:
                counts["events"].add(piece.counts())
                _take_examples(piece.quarantined, examples["events"])
                events.write_table(piece.accepted)
        if progress is not None:
            progress("check", done, len(days))
    catalogues = {}
    for catalogue in check_items_and_users(lake, gate):
        counts[catalogue.table] = catalogue.counts
        catalogues[catalogue.table] = catalogue.verdict.accepted
        _take_examples(catalogue.verdict.quarantined, examples.setdefault(catalogue.table, {}))
    return Inspection(
        tuple(_inspected(table, counts[table], gate, examples[table]) for table in counts),
        next(filter(None, (_refusal(table, counts[table], gate) for table in counts)), None),
        catalogues,
    )


def _take_examples(quarantined: pa.Table, examples: dict[str, list[dict[str, Any]]]) -> None:
    for rule in quarantined.column("rule").unique().to_pylist():
        shown = examples.setdefault(rule, [])
        if len(shown) < EXAMPLES:
            rows = quarantined.filter(pc.equal(quarantined.column("rule"), rule))
            shown += map(json.loads, rows.column("raw").slice(0, EXAMPLES - len(shown)).to_pylist())


def _inspected(
    table: str, counts: GateCounts, gate: Gate, examples: dict[str, list[dict[str, Any]]]
) -> InspectedTable:
    findings = (
        Finding(rule, counts.quarantined[rule.name], tuple(examples[rule.name]))
        for rule in gate.rules(table)
        if rule.name in counts.quarantined
    )
    return InspectedTable(table, counts.read, counts.accepted, tuple(findings))


def _refusal(table: str, counts: GateCounts, gate: Gate) -> GateError | None:
    try:
        check_batch(table, counts, gate.rules(table))
    except GateError as error:
        return error
    return None
