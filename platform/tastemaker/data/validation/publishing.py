"""Validation and publication: landed rows become events, items and users, or are quarantined with the reason.

The result depends only on the landed rows and the rules, not on the order in which days came: a day is
validated again when its rows or the rules change, or when an id on it is found to be a repetition. Validated
days are staged beside the lake and published together when the whole batch has passed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Engine

from tastemaker.data.lake import UNDATED, Lake, by_day, file_metadata, parquet_writer
from tastemaker.data.lake_files import day_of, literal, open_duckdb
from tastemaker.data.source_period import landed_rows
from tastemaker.data.tables import EVENTS, QUARANTINE
from tastemaker.data.validation.derived_days import DERIVED, remove_derived
from tastemaker.data.validation.gate import Gate, GateCounts, Progress, check_batch
from tastemaker.data.validation.gate_results import record_gate_result
from tastemaker.data.validation.ingested_days import Entry, read_ingested_days, write_ingested_days
from tastemaker.data.validation.items_and_users import (
    CheckedTables,
    check_items_and_users,
    write_items_and_users,
)
from tastemaker.data.validation.profile import alike_warnings, id_coverage, top_user_warnings
from tastemaker.errors import GateError
from tastemaker.util.file_lock import file_lock

Repeats = Mapping[date, NDArray[np.int64]]
"""Day -> the numbers of its rows whose event_id stands in an earlier row of the source."""

REPEATS = """
WITH reports AS (
    SELECT event_id, filename, file_row_number AS row
    FROM read_parquet(?, filename = true, file_row_number = true, hive_partitioning = false)
    WHERE trim(event_id) <> ''
),
perhaps AS (SELECT hash(event_id) AS digest FROM reports GROUP BY digest HAVING count(*) > 1),
numbered AS (
    SELECT filename, row, row_number() OVER (PARTITION BY event_id ORDER BY filename, row) AS nth
    FROM reports SEMI JOIN perhaps ON hash(event_id) = digest
)
SELECT filename, list(row ORDER BY row) AS rows FROM numbered WHERE nth > 1 GROUP BY filename
"""


class Published(NamedTuple):
    """Result of `validate_and_publish`."""

    days: tuple[date, ...]
    """Days that were validated, oldest first."""
    tables: dict[str, GateCounts]
    """events (of `days` only), items and users -> number of rows by result."""
    total: GateCounts
    """Number of all events of the source by result."""
    warnings: tuple[str, ...] = ()
    """Warnings of the tables as a whole, whose rows are valid."""


class CheckedDays(NamedTuple):
    """Validated rows of a day."""

    day: date
    accepted: pa.Table
    quarantined: pa.Table

    def counts(self) -> GateCounts:
        """Return the number of rows by result."""
        rules = pc.value_counts(self.quarantined.column("rule"))
        reasons = {found["values"].as_py(): found["counts"].as_py() for found in rules}
        return GateCounts(len(self.accepted) + len(self.quarantined), len(self.accepted), reasons)


def validate_and_publish(
    source: str,
    lake: Lake,
    gate: Gate,
    engine: Engine,
    *,
    days: Collection[date] | None = None,
    chunk_rows: int = 250_000,
    progress: Progress | None = None,
) -> Published:
    """Validate a source's new and changed landed rows, and publish them.

    Args:
        source: Name of the source.
        lake: Holds the landed rows, and gets the accepted and the quarantined ones.
        gate: The rules that rows are checked by.
        engine: The metadata database, which records validated days.
        days: Days to validate; None for all.
        chunk_rows: The most rows in memory.
        progress: Called after each day.

    Returns:
        The number of rows by result, and warnings.

    Raises:
        GateError: The batch as a whole is refused; the published tables are unchanged.
    """
    with file_lock(lake.root / ".publish.lock"):
        staging = _staging(lake, source)
        repeats = find_repeats(lake, source)
        digests = _digests(lake, source, gate, repeats)
        known = read_ingested_days(engine, source)
        pending = _pending(lake, source, digests, known, days)
        entries = _stage_days(lake, source, gate, pending, digests, repeats, chunk_rows, progress)
        order = [rule.name for rule in gate.rules("events")]
        batch = _sum(entries.values(), order)
        catalogues = check_items_and_users(lake, gate)
        tables = {"events": batch, **{catalogue.table: catalogue.counts for catalogue in catalogues}}
        for table, counts in tables.items():
            if table != "events" or pending or not digests:
                try:
                    check_batch(table, counts, gate.rules(table))
                except GateError as refusal:
                    record_gate_result(engine, source, counts, refusal)
                    raise
        _publish(staging, lake, source, entries)
        write_ingested_days(engine, source, entries)
        record_gate_result(engine, source, batch, None)
        made = {*known, *(day for table in DERIVED for day in lake.days(table, part=source))}
        gone = [day for day in made if day not in digests and (days is None or day in days)]
        remove_derived(lake, source, engine, gone)
        warnings = tuple(_warnings(lake, catalogues))
        for catalogue in catalogues:
            write_items_and_users(lake, catalogue)
        landed = [entry for day, entry in read_ingested_days(engine, source).items() if day in digests]
        return Published(tuple(pending), tables, _sum(landed, order), warnings)


def pending_days(source: str, lake: Lake, gate: Gate, engine: Engine) -> dict[date, int]:
    """Return the landed days that are neither validated nor staged, oldest first, with their numbers of rows.

    Args:
        source: Name of the source.
        lake: Holds the landed rows.
        gate: The rules, whose version says what is validated.
        engine: The metadata database, which records validated days.
    """
    digests = _digests(lake, source, gate, find_repeats(lake, source))
    pending = _pending(lake, source, digests, read_ingested_days(engine, source), None)
    fresh = [day for day in pending if _staged(_staging(lake, source), day, digests[day]) is None]
    return landed_rows(lake, source, fresh)


def stage_days(
    source: str,
    lake: Lake,
    gate: Gate,
    engine: Engine,
    *,
    days: Collection[date],
    chunk_rows: int = 250_000,
    progress: Progress | None = None,
) -> GateCounts:
    """Validate days without publishing them: the next `validate_and_publish` finds them validated.

    Several processes may do this at once, each with days of its own.

    Args:
        source: Name of the source.
        lake: Holds the landed rows, and gets the staged ones.
        gate: The rules that rows are checked by.
        engine: The metadata database, which records validated days.
        days: The days; those that are validated already are left out.
        chunk_rows: The most rows in memory.
        progress: Called after each day.

    Returns:
        The number of rows by result.
    """
    with file_lock(lake.root / ".publish.lock", shared=True):
        repeats = find_repeats(lake, source)
        digests = _digests(lake, source, gate, repeats)
        pending = _pending(lake, source, digests, read_ingested_days(engine, source), days)
        entries = _stage_days(lake, source, gate, pending, digests, repeats, chunk_rows, progress)
        return _sum(entries.values(), [rule.name for rule in gate.rules("events")])


def _staging(lake: Lake, source: str) -> Lake:
    return Lake(lake.root / ".publishing" / source)


def _pending(
    lake: Lake,
    source: str,
    digests: Mapping[date, str],
    known: Mapping[date, Entry],
    days: Collection[date] | None,
) -> list[date]:
    """Return the days whose newest rows are not published, of all or of some days."""
    return [
        day
        for day, digest in digests.items()
        if (days is None or day in days) and not _is_done(lake, source, day, digest, known)
    ]


def _stage_days(
    lake: Lake,
    source: str,
    gate: Gate,
    pending: Sequence[date],
    digests: Mapping[date, str],
    repeats: Repeats,
    chunk_rows: int,
    progress: Progress | None,
) -> dict[date, Entry]:
    """Stage the days that no earlier process has staged, and return the results of all."""
    staging = _staging(lake, source)
    entries = {day: entry for day in pending if (entry := _staged(staging, day, digests[day]))}
    fresh = [day for day in pending if day not in entries]
    checked = check_days(lake, source, gate, fresh, repeats, chunk_rows)
    for day, pieces in groupby(checked, key=itemgetter(0)):
        entries[day] = _stage(staging, day, digests[day], pieces)
        if progress is not None:
            progress("validate", len(entries), len(pending))
    return entries


def _warnings(lake: Lake, catalogues: Sequence[CheckedTables]) -> Iterator[str]:
    """Yield warnings of the accepted tables, before items and users get a row for every id of events."""
    with lake.connect() as connection:
        for catalogue in catalogues:
            if catalogue.counts.accepted:
                yield from id_coverage(connection, catalogue.table, catalogue.verdict.accepted).warnings()
            yield from alike_warnings(connection, catalogue.table)
        yield from top_user_warnings(connection)


def find_repeats(lake: Lake, source: str) -> Repeats:
    """Return which landed rows repeat an event: over all landed days, the first report counts.

    Args:
        lake: The lake with the landed events.
        source: The name of the source, whose events alone are compared.

    Returns:
        Day -> int64, ascending: places of the repeating rows in the day's file, from 0; no other days.
    """
    files = [literal(path) for path in lake.files("landed_events", part=source)]
    if not files:
        return {}
    with open_duckdb() as connection:
        found = connection.sql(REPEATS, params=[files]).fetchall()
    return {day_of(Path(name)): np.array(rows, np.int64) for name, rows in found}


def _digests(lake: Lake, source: str, gate: Gate, repeats: Repeats) -> dict[date, str]:
    """Return, per day, a hash of everything that its validation depends on."""
    digests = {}
    for path in lake.files("landed_events", part=source):
        day = day_of(path)
        repeated = repeats[day].tobytes() if day in repeats else b""
        causes = f"{file_metadata(path).get('digest')} {gate.version} ".encode() + repeated
        digests[day] = hashlib.sha256(causes).hexdigest()
    return digests


def _is_done(lake: Lake, source: str, day: date, digest: str, known: Mapping[date, Entry]) -> bool:
    return day in known and known[day].digest == digest and lake.path("events", day, part=source).exists()


def check_days(
    lake: Lake, source: str, gate: Gate, days: list[date], repeats: Repeats, chunk_rows: int
) -> Iterator[CheckedDays]:
    """Check the landed rows of days, many small days at once; yield each day's pieces together, in order.

    Args:
        lake: The lake with the landed rows.
        source: The name of the source.
        gate: The gate that checks the rows.
        days: The days to check.
        repeats: The rows that repeat an event, from `find_repeats`.
        chunk_rows: About how many rows to check at once.
    """
    for chunk in _chunks(lake, source, days, repeats, chunk_rows):
        verdict = gate.check("events", chunk)
        accepted = dict(by_day(verdict.accepted))
        quarantined_days = pc.fill_null(verdict.quarantined.column("day"), UNDATED)
        for day, _ in by_day(chunk):
            yield CheckedDays(
                day,
                accepted.get(day, verdict.accepted.slice(0, 0)),
                verdict.quarantined.filter(pc.equal(quarantined_days, pa.scalar(day, pa.date32()))),
            )


def _chunks(
    lake: Lake, source: str, days: list[date], repeats: Repeats, chunk_rows: int
) -> Iterator[pa.Table]:
    """Yield the landed rows of days, about `chunk_rows` at once, with `event_id_was_seen`."""
    waiting: list[pa.Table] = []
    for day in days:
        with pq.ParquetFile(lake.path("landed_events", day, part=source)) as file:
            seen = np.zeros(file.metadata.num_rows, np.bool_)
            seen[repeats.get(day, [])] = True
            start = 0
            for batch in file.iter_batches(chunk_rows):
                rows = pa.Table.from_batches([batch])
                waiting.append(
                    rows.append_column("event_id_was_seen", pa.array(seen[start : start + len(rows)]))
                )
                start += len(rows)
                if sum(map(len, waiting)) >= chunk_rows:
                    yield pa.concat_tables(waiting, promote_options="default")
                    waiting = []
    if waiting:
        yield pa.concat_tables(waiting, promote_options="default")


def _stage(staging: Lake, day: date, digest: str, pieces: Iterable[CheckedDays]) -> Entry:
    """Stage a day's rows. The events are written last, as the sign that the day is complete."""
    counts = GateCounts()
    staging.path("quarantine", day).unlink(missing_ok=True)
    with ExitStack() as stack:
        events = stack.enter_context(parquet_writer(staging.path("events", day), EVENTS))
        quarantine: pq.ParquetWriter | None = None
        for piece in pieces:
            events.write_table(piece.accepted.cast(EVENTS))
            if len(piece.quarantined):
                quarantine = quarantine or stack.enter_context(
                    parquet_writer(staging.path("quarantine", day), QUARANTINE)
                )
                quarantine.write_table(piece.quarantined)
            counts.add(piece.counts())
        events.add_key_value_metadata({"digest": digest, "counts": json.dumps(asdict(counts))})
    return Entry(digest, counts)


def _staged(staging: Lake, day: date, digest: str) -> Entry | None:
    """Return a day that an earlier run staged before it was stopped; None if there is none."""
    path = staging.path("events", day)
    noted = file_metadata(path) if path.exists() else {}
    if noted.get("digest") != digest:
        return None
    return Entry(digest, GateCounts(**json.loads(noted["counts"])))


def _publish(staging: Lake, lake: Lake, source: str, entries: Mapping[date, Entry]) -> None:
    """Move staged days to the lake's tables; days that a stopped run moved before are kept."""
    for day, entry in entries.items():
        for table in ("quarantine", "events"):
            staged, target = staging.path(table, day), lake.path(table, day, part=source)
            target.parent.mkdir(parents=True, exist_ok=True)
            if staged.exists():
                os.replace(staged, target)
            elif entry.counts.refused == 0:
                target.unlink(missing_ok=True)


def _sum(entries: Iterable[Entry], order: Sequence[str]) -> GateCounts:
    """Return the sum, with the reasons in the suite's order (those of earlier rules last)."""
    total = GateCounts()
    for entry in entries:
        total.add(entry.counts)
    reasons = [*order, *sorted(set(total.quarantined) - set(order))]
    total.quarantined = {rule: total.quarantined[rule] for rule in reasons if rule in total.quarantined}
    return total
