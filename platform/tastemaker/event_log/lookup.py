"""Look-up of a logged request by its id in the spool, the log database and the lake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tastemaker.data.merged_files import current_files
from tastemaker.event_log import spool_file
from tastemaker.event_log.records import ASSIGNMENT_FIELDS, Assignment, Item, Record

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

    from tastemaker.settings import Settings


def find(request_id: str, settings: Settings) -> Record | None:
    """Return the record of a request; None if the id is unknown.

    The spool and the database, which have an index, are searched before the lake, which is scanned.

    Args:
        request_id: 32 hexadecimal digits.
        settings: Name the spool, the database and the lake.

    Raises:
        DatabaseUnavailable: The database does not answer, and the spool does not have the record.
    """
    found = spool_file.find_request(settings.spool / spool_file.FILE_NAME, request_id)
    if found is None and settings.log.target == "postgres":
        from tastemaker.event_log import postgres

        found = postgres.find_request(settings.log_url, request_id)
    return found or _in_lake(settings.lake / "requests", request_id)


def _in_lake(folder: Path, request_id: str) -> Record | None:
    """Scan Parquet files without DuckDB, which a service does not load for one row."""
    day = _day_of(request_id)
    files = sorted(current_files(folder.glob("day=*/*.parquet")), reverse=True)
    if not files:
        return None
    import pyarrow.parquet as pq

    for path in sorted(files, key=lambda path: path.parent.name != f"day={day}"):
        with pq.ParquetFile(path) as file:
            groups = [number for number in range(file.num_row_groups) if _may_have(file, number, request_id)]
        if groups:
            found = pq.read_table(path, filters=[("request_id", "=", request_id)], partitioning=None)
            if len(found):
                return record_of(found.slice(0, 1).to_pylist()[0])
    return None


def _may_have(file: ParquetFile, group: int, request_id: str) -> bool:
    """Return whether a row group's smallest and largest id leave room for this one. Ids grow with time."""
    bounds = file.metadata.row_group(group).column(file.schema.names.index("request_id")).statistics
    return bounds is None or not bounds.has_min_max or bounds.min <= request_id <= bounds.max


def _day_of(request_id: str) -> str | None:
    """Return the day in the first 12 digits of an id of ours; None if they are not a time."""
    try:
        return datetime.fromtimestamp(int(request_id[:12], 16) / 1_000, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def record_of(row: dict[str, Any]) -> Record:
    """Return a row of `REQUESTS` as a record."""
    items = zip(row["item_ids"], row["scores"], row["propensities"], strict=True)
    plain = {name: row[name] for name in Record.__struct_fields__ if row.get(name) is not None}
    decoded = {
        name: msgspec.json.decode(row[name]) for name in ("context", "features") if row[name] is not None
    }
    seconds = row["occurred_at"].timestamp()
    return Record(
        **plain
        | decoded
        | {"items": [Item(*item) for item in items], "occurred_at": seconds, "assignment": _assignment(row)}
    )


def _assignment(row: dict[str, Any]) -> Assignment | None:
    if row.get("experiment") is None:  # files of an earlier release lack the columns
        return None
    fields: dict[str, Any] = {field: row.get(column) for column, field in ASSIGNMENT_FIELDS.items()}
    return Assignment(**fields)
