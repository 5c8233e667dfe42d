"""A logged request by its id, wherever it is by now: in the spool, the database, or the lake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tastemaker.event_log import spool_file
from tastemaker.event_log.records import Assignment, Item, Record

if TYPE_CHECKING:
    from tastemaker.settings import Settings


def find(request_id: str, settings: Settings) -> Record | None:
    """What was asked, answered and known then; None if nobody knows the id.

    Looks where it is quickest first: an index in the spool and the database, a scan in the lake. Raises
    AwayError while the database does not answer, unless the spool has it.
    """
    found = spool_file.find_request(settings.spool / spool_file.FILE_NAME, request_id)
    if found is None and settings.log.target == "postgres":
        from tastemaker.event_log import postgres

        found = postgres.find_request(settings.log_url, request_id)
    return found or _in_lake(settings.lake / "requests", request_id)


def _in_lake(folder: Path, request_id: str) -> Record | None:
    """Parquet's own reader: a service that looks up one row needs no query engine."""
    files = sorted(folder.glob("day=*/*.parquet"), reverse=True)
    if not files:
        return None
    import pyarrow.parquet as pq

    for path in files:
        rows = pq.read_table(path, filters=[("request_id", "=", request_id)], partitioning=None).to_pylist()
        if rows:
            return _record(rows[0])
    return None


def _record(row: dict[str, Any]) -> Record:
    items = zip(row["item_ids"], row["scores"], row["propensities"], strict=True)
    plain = {name: row[name] for name in Record.__struct_fields__ if row.get(name) is not None}
    decoded = {
        name: msgspec.json.decode(row[name]) for name in ("context", "features") if row[name] is not None
    }
    moment = row["occurred_at"].timestamp()
    return Record(
        **plain
        | decoded
        | {"items": [Item(*item) for item in items], "occurred_at": moment, "assignment": _assignment(row)}
    )


def _assignment(row: dict[str, Any]) -> Assignment | None:
    if row.get("experiment") is None:  # files of an earlier release lack the columns
        return None
    return Assignment(row["experiment"], row["epoch"], row["variant"], row["variant_probability"])
