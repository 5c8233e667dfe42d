"""Reported files: NDJSON or Parquet, in a folder per source, read once each.

    home/report_in/SOURCE/measurements-2026-11-28.ndjson       waits
    home/report_in/SOURCE/done/measurements-2026-11-28.ndjson  was taken over
    home/report_in/SOURCE/refused/...                          can't be read at all

A file is complete when it has its name: writers write another name, such as one that ends in .tmp, and
rename it. How far a file was taken over is stored with its rows, so that a takeover that was killed is
continued, and a file that comes twice is read once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, select

from tastemaker.api.report_schemas import MAX_ROWS, ReportReceipt
from tastemaker.report_in.intake import Intake
from tastemaker.report_in.row_types import as_row
from tastemaker.report_in.rows import Kind
from tastemaker.storage.tables import reported_files
from tastemaker.storage.upserts import upsert

DONE, REFUSED = "done", "refused"
MAX_BYTES = 1 << 30
BATCH_ROWS = MAX_ROWS // 2
_NAME = re.compile(r"(measurements|impressions|feedback|health)\b[^/]*\.(ndjson|jsonl|parquet)", re.ASCII)


class UnreadableFile(Exception):
    """A file that can't be read as a whole."""


def files_of(folder: Path) -> list[Path]:
    """Return the files that wait, those of lists before those of the events that belong to them."""
    order = ("measurements", "impressions", "feedback", "health")
    found = [path for path in folder.glob("*/*") if _NAME.fullmatch(path.name) and path.is_file()]
    waiting = [path for path in found if not path.is_symlink() and not path.parent.is_symlink()]
    return sorted(waiting, key=lambda path: (order.index(_kind(path)), path))


def take_file(intake: Intake, path: Path) -> Iterator[ReportReceipt]:
    """Take over the rows of a file that were not taken over before, and move it out of the way.

    Args:
        intake: Where the rows go.
        path: The file; the name of its folder is the source.

    Yields:
        What became of each batch.
    """
    kind, source = _kind(path), path.parent.name
    try:
        digest = _digest(path)
        done = _taken(intake, source, digest)
        rows = islice(enumerate(_rows(path)), done, None)
        while batch := list(islice(rows, BATCH_ROWS)):
            done = batch[-1][0] + 1
            also = partial(_note, path=path, digest=digest, rows=done)
            yield intake.take(kind, source, batch, origin=path.name, also=also)
    except UnreadableFile as error:
        _move(path, REFUSED)
        yield intake.take(kind, source, [(0, f"the file can't be read: {error}")], origin=path.name)
    else:
        _move(path, DONE)


def _move(path: Path, folder: str) -> None:
    target = path.parent / folder / path.name
    target.parent.mkdir(exist_ok=True)
    path.replace(target)


def _kind(path: Path) -> Kind:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return cast("Kind", found[1])


def _digest(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableFile(f"it has {path.stat().st_size:,} bytes, at most {MAX_BYTES:,} are allowed")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _taken(intake: Intake, source: str, digest: str) -> int:
    """Return how many rows of a file were taken over."""
    columns = reported_files.c
    mine = select(columns.rows).where(columns.source == source, columns.digest == digest)
    with intake.engine.connect() as connection:
        return int(connection.execute(mine).scalar_one_or_none() or 0)


def _note(connection: Connection, path: Path, digest: str, rows: int) -> None:
    row = {"source": path.parent.name, "digest": digest, "name": path.name}
    upsert(connection, reported_files, [{**row, "rows": rows, "taken_at": datetime.now(UTC)}])


def _rows(path: Path) -> Iterator[Any]:
    """Yield each row as JSON's types. Raises UnreadableFile."""
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    with path.open("rb") as file:
        for line in file:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield line.decode(errors="replace")


def _parquet_rows(path: Path) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield from map(as_row, batch.to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(str(error)) from error
