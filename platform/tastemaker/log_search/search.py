"""Search of the whole log: the spool, the log database where there is one, and the lake.

Each source returns its newest matches. A record moves from the spool to the database and to the lake while
the log is searched: they are read in that order, so that no record is missed, and one that is found twice
counts once, as it came first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.event_log import lookup, spool_file
from tastemaker.event_log.records import Record
from tastemaker.log_search.query import Parser, Query
from tastemaker.privacy.pseudonyms import open_pseudonyms

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tastemaker.data.lake import Lake
    from tastemaker.settings import Settings

MAX_LIMIT = 100_000
"""The most answers that are held in memory."""


def parser_for(settings: Settings) -> Parser:
    """Return the reader of queries about a home's log.

    Raises:
        TastemakerError: The log has pseudonyms, and their key is missing.
    """
    return Parser(datetime.now(UTC), settings.source.ids, open_pseudonyms(settings))


def search(query: Query, settings: Settings, limit: int = 20) -> list[Record]:
    """Return the newest requests that match.

    Args:
        query: The conditions.
        settings: Name the spool, the log database and the lake.
        limit: The most requests to return, 1 to MAX_LIMIT.

    Returns:
        Requests with their answers, newest first.

    Raises:
        SpoolError: The spool can't be read.
        DatabaseUnavailable: The log database does not answer.
        TastemakerError: A file of the lake can't be read.
    """
    from tastemaker.data.lake import Lake

    if (request_ids := query.exactly("id")) is not None:
        named = (lookup.find(request_id, settings) for request_id in request_ids)
        return [one for one in named if one is not None and query.matches(one)][:limit]
    found = list(newest_spooled(settings.spool / spool_file.FILE_NAME, query, limit))
    if settings.log.target == "postgres":
        found += _in_database(query, settings, limit)
    found += newest_in_lake(Lake(settings.lake), query, limit)
    return _newest(found, limit)


def newest_spooled(path: Path, query: Query, limit: int) -> Iterator[Record]:
    """Yield the newest matches in a spool.

    Args:
        path: Of the spool's file.
        query: The conditions.
        limit: How many matches are wanted; there may be some more.
    """
    times: list[float] = []
    with closing(spool_file.newest(path, Record)) as stored:
        for stored_at, record in stored:
            # An answer is stored after its request came: all further ones are older than this.
            if len(times) >= limit and stored_at < sorted(times, reverse=True)[limit - 1]:
                return
            if query.matches(record):
                times.append(record.occurred_at)
                yield record


def newest_in_lake(lake: Lake, query: Query, limit: int) -> list[Record]:
    """Return the newest matches in the lake.

    Days are read from the newest on, twice as many at a time, until there are enough matches.

    Args:
        lake: The lake that requests were drained to.
        query: The conditions.
        limit: The most matches.

    Raises:
        TastemakerError: A file can't be read.
    """
    import duckdb

    try:
        return _read_lake(lake, query, limit)
    except duckdb.IOException:  # a file that retention or an erasure has replaced since files were listed
        pass
    except duckdb.Error as error:
        raise _unreadable(error) from error
    try:
        return _read_lake(lake, query, limit)
    except duckdb.Error as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> TastemakerError:
    return TastemakerError(
        f"a file of the lake can't be read: {str(error).splitlines()[0]}",
        fix="restore the file or remove it: its answers are lost then",
    )


def _read_lake(lake: Lake, query: Query, limit: int) -> list[Record]:
    from tastemaker.data.lake_files import open_duckdb

    found: list[Record] = []
    with open_duckdb() as connection:
        for files in _growing(_days(lake, query)):
            found = _newest([*found, *_matches(connection, lake, files, query, limit)], limit)
            if len(found) >= limit:
                break
    return found


def _in_database(query: Query, settings: Settings, limit: int) -> list[Record]:
    """Return the newest matches among the records that were not copied into this home's lake yet."""
    from tastemaker.event_log import postgres

    found: list[Record] = []
    users = query.exactly("user")
    url, after = settings.log_url, postgres.pulled(settings.log_url, settings.lake)
    with closing(
        postgres.newest(url, Record, after=after, users=users, since=query.since, until=query.until)
    ) as stored:
        for record in stored:
            if query.matches(record):
                found.append(record)
                if len(found) >= limit:
                    break
    return found


def _days(lake: Lake, query: Query) -> list[list[Path]]:
    """Return the files of each day that may have matches, newest day first."""
    from tastemaker.data.lake_files import day_of

    first = date.min if query.since is None else query.since.astimezone(UTC).date()
    last = date.max if query.until is None else query.until.astimezone(UTC).date()
    days: dict[date, list[Path]] = {}
    for path in reversed(lake.files("requests", since=first)):
        if path.parent.name.startswith("day=") and (day := day_of(path)) <= last:
            days.setdefault(day, []).append(path)
    return list(days.values())


def _growing(days: Sequence[list[Path]]) -> Iterator[list[Path]]:
    """Yield the files of 1, 2, 4, ... days."""
    start, count = 0, 1
    while start < len(days):
        yield [path for files in days[start : start + count] for path in files]
        start, count = start + count, 2 * count


_KEYS = """
    SELECT request_id, occurred_at FROM searched WHERE {condition}
    ORDER BY occurred_at DESC, request_id LIMIT {limit}
"""
_ROWS = """
    SELECT * FROM searched
    WHERE occurred_at BETWEEN $first AND $last AND list_contains($ids, request_id)
"""


def _matches(
    connection: DuckDBPyConnection, lake: Lake, files: Sequence[Path], query: Query, limit: int
) -> list[Record]:
    """Return the newest matches of some files.

    The ids are found first: the columns with the features, the scores and the like are read for these only.
    """
    rows = lake.scan(connection, "requests", files)
    if rows is None:
        return []
    rows.create_view("searched", replace=True)
    condition, parameters = query.sql()
    wanted, enough = limit, False
    while not enough:
        statement = _KEYS.format(condition=condition, limit=wanted)
        keys = connection.execute(statement, parameters).fetchall()
        # A request that was logged twice takes two of the rows.
        enough = len(keys) < wanted or len({request_id for request_id, _ in keys}) >= limit
        wanted *= 2
    if not keys:
        return []
    times = [occurred_at for _, occurred_at in keys]
    values = {"first": min(times), "last": max(times), "ids": [request_id for request_id, _ in keys]}
    found = connection.sql(_ROWS, params=values).to_arrow_table()
    return [lookup.record_of(row) for row in found.to_pylist()]


def _newest(records: Iterable[Record], limit: int) -> list[Record]:
    """Return each request once, as it came first, newest first."""
    firsts: dict[str, Record] = {}
    for one in sorted(records, key=lambda one: one.occurred_at):
        firsts.setdefault(one.request_id, one)
    ordered = sorted(firsts.values(), key=lambda one: (-one.occurred_at, one.request_id))
    return ordered[:limit]
