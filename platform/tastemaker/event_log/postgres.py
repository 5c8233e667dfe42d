"""Postgres as the log database of many services, and the copy from it into a lake.

A batch is copied into a temporary table and inserted from there, in one transaction. Records that exist are
left unchanged, so that a repeated batch has no effect. Writers wait for each other: numbers are given in the
order of commits, and a reader that continues after the last number it saw misses no record.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import BATCH_RECORDS, Drained, count, put_rows
from tastemaker.event_log.records import Entry, Record
from tastemaker.event_log.spool_file import KINDS, NAMES, Kind, Pending, key_of, logged_at, name_of
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.file_lock import file_lock

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from sqlalchemy import URL

CONNECT_SECONDS = 10
_OPTIONS = "-c statement_timeout=60s"
_FIX = "start it, or set TASTEMAKER_LOG__URL to one that answers; nothing is lost meanwhile"
_WRITERS = 5_020_164_733
"""Key of the advisory lock; any number that no other program uses."""
_STAGE = """
    CREATE TEMP TABLE staged (kind text, key text, user_id text, at float8, record json) ON COMMIT DROP
"""
_QUOTE = "\x01"
"""A character that JSON never holds as such, so that a record is copied as it is."""
_COPY = "COPY staged FROM STDIN WITH (FORMAT csv, QUOTE E'\\x01')"
_INSERT = """
    INSERT INTO log_records (kind, key, user_id, at, record)
    SELECT kind, key, user_id, to_timestamp(at), record FROM staged ON CONFLICT DO NOTHING
"""
_NEWER = "SELECT number, kind, record::text FROM log_records WHERE number > %s ORDER BY number LIMIT %s"
_FOUND = "SELECT record::text FROM log_records WHERE kind = 'request' AND key = %s"
_REQUEST_IDS = "SELECT key FROM log_records WHERE kind = 'request' AND number > %s"
_NEWEST = """
    SELECT record::text FROM log_records
    WHERE kind = %(kind)s AND number > %(after)s AND (%(users)s::text[] IS NULL OR user_id = ANY(%(users)s))
        AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
    ORDER BY at DESC, key
"""
_encode = msgspec.json.Encoder().encode
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind) for name, kind in KINDS.items()
}


class DatabaseUnavailable(TastemakerError):
    """The log database does not answer now; it may later."""


class PostgresSink:
    """Sink that stores records in the table `log_records`. It connects when there are records to store."""

    def __init__(self, url: str) -> None:
        """Raise TastemakerError if the URL does not name a Postgres database."""
        _parsed(url)
        self.url = url
        self._connection: Connection | None = None

    def put(self, pending: Pending) -> None:
        """Store records. Raise DatabaseUnavailable, with nothing stored, if the database does not answer."""
        with _driver_errors_in_words(self.url):
            connection, self._connection = self._connection or connect(self.url), None
            try:
                _put(connection, _lines(pending))
            except BaseException:
                connection.close()
                raise
            self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def pull(url: str, lake: Lake) -> Drained:
    """Copy records that are new in the database into the lake.

    A copy that was killed is continued by the next one: parts are named by their first record, so that a part
    that was written before is replaced.

    Args:
        url: Of the log database.
        lake: Where the records go; `.pulled/` there notes the last number copied.

    Returns:
        The number of records copied, by kind.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    with pulled_all(url, lake) as copied:
        return copied


@contextmanager
def pulled_all(url: str, lake: Lake) -> Iterator[Drained]:
    """Copy all new records into the lake, as `pull` does, and let no other copy begin within the block.

    Who deletes single records, from the database or from the lake, has to do so within the block: else a copy
    that runs, or the next one after a copy that was killed, would write some of the others a second time.

    Args:
        url: Of the log database.
        lake: Where the records go.

    Yields:
        The number of records copied, by kind.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    with file_lock(_noted(url, lake.root).with_suffix(".lock")):
        yield _pull(url, lake)


def _pull(url: str, lake: Lake) -> Drained:
    copied = Drained()
    noted = _noted(url, lake.root)
    with _driver_errors_in_words(url), closing(connect(url)) as connection:
        last = pulled(url, lake.root)
        while rows := _newer(connection, last):
            pending = _pending(noted, rows)
            put_rows(lake, pending)
            last = pending.last
            with atomic_write(noted) as partial:
                partial.write_text(json.dumps({"last": last}))
            copied = copied.plus(count(pending))
    return copied


def waiting(url: str, lake: Path) -> Pending | None:
    """Return the oldest records that `pull` would copy into a lake, at most BATCH_RECORDS; None without any.

    Args:
        url: Of the log database.
        lake: The folder of the lake.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    with _driver_errors_in_words(url), closing(connect(url)) as connection:
        rows = _newer(connection, pulled(url, lake))
    return _pending(_noted(url, lake), rows) if rows else None


def pulled(url: str, lake: Path) -> int:
    """Return the number of the last record that was copied into a lake; 0 if none was.

    Args:
        url: Of the log database, which is not asked: the lake notes the number.
        lake: The folder of the lake.
    """
    noted = _noted(url, lake)
    return int(json.loads(noted.read_text())["last"]) if noted.exists() else 0


def newest(
    url: str,
    kind: type[Kind],
    *,
    after: int = 0,
    users: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Generator[Kind, None, None]:
    """Yield shipped records of one kind, newest first. They are read in blocks: a reader may stop early.

    Args:
        url: Of the log database.
        kind: The class of the records.
        after: Only records with larger numbers.
        users: Only records that name one of these users; None for all.
        since: Only records from this time on.
        until: Only records before this time.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    name = NAMES[kind]
    wanted = {
        "kind": name,
        "after": after,
        "users": None if users is None else list(users),
        "since": since,
        "until": until,
    }
    with (
        _driver_errors_in_words(url),
        closing(connect(url)) as connection,
        connection,
        connection.cursor("newest") as cursor,
    ):
        cursor.itersize = BATCH_RECORDS
        cursor.execute(_NEWEST, wanted)
        for (record,) in cursor:
            yield _DECODERS[name].decode(record)


def _noted(url: str, lake: Path) -> Path:
    """Return the file that has the number of the last record that was copied into a lake."""
    name = hashlib.blake2b(_place(url).encode(), digest_size=8).hexdigest()
    return lake / ".pulled" / f"{name}.json"


def find_request(url: str, request_id: str) -> Record | None:
    """Return the record of a request; None if it was not shipped.

    Args:
        url: Of the log database.
        request_id: Its id, known or not.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    with _driver_errors_in_words(url), closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_FOUND, (request_id.replace("\0", ""),))
        row = cursor.fetchone()
    return None if row is None else _DECODERS["request"].decode(row[0])


def request_ids(url: str, after: int) -> list[str]:
    """Return the ids of shipped requests; the records themselves are not read.

    Args:
        url: Of the log database.
        after: Only of records with larger numbers.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    with _driver_errors_in_words(url), closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_REQUEST_IDS, (after,))
        return [request_id for (request_id,) in cursor]


@contextmanager
def _driver_errors_in_words(url: str) -> Iterator[None]:
    """Turn the driver's errors into DatabaseUnavailable. Their text is left out: it may quote a row."""
    import psycopg2

    try:
        yield
    except psycopg2.Error as error:
        raise DatabaseUnavailable(
            f"the log database {_place(url)} can't be used now: {type(error).__name__} {error.pgcode or ''}",
            fix=_FIX,
        ) from None


def connect(url: str) -> Connection:
    """Return a connection to the database, with its tables created."""
    import psycopg2

    from tastemaker.storage.engine import open_engine

    plain = _parsed(url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        open_engine(url).dispose()  # creates the tables if they are missing
    except TastemakerError as error:
        raise DatabaseUnavailable(error.problem, fix=_FIX) from None
    return psycopg2.connect(plain, connect_timeout=CONNECT_SECONDS, options=_OPTIONS)


def _put(connection: Connection, lines: io.StringIO) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(_STAGE)
        cursor.copy_expert(_COPY, lines)
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITERS,))
        cursor.execute(_INSERT)


def _newer(connection: Connection, last: int) -> list[tuple[int, str, str]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(_NEWER, (last, BATCH_RECORDS))
        rows: list[tuple[int, str, str]] = cursor.fetchall()
        return rows


def _pending(noted: Path, rows: Sequence[tuple[int, str, str]]) -> Pending:
    records: list[Entry] = [_DECODERS[kind].decode(record) for _, kind, record in rows]
    return Pending(noted.stem, rows[0][0], rows[-1][0], records)


def _lines(pending: Pending) -> io.StringIO:
    """Return CSV for COPY, in which a missing value is empty and an empty text is quoted."""
    lines = []
    for place, record in enumerate(pending.records):
        key = key_of(record) or f"{pending.spool}:{pending.first}:{place}"
        at = logged_at(record)
        user_id = getattr(record, "user_id", None)
        who = "" if user_id is None else _quoted(user_id)
        lines.append(f"{name_of(record)},{_quoted(key)},{who},{at!r},{_quoted(_encode(record).decode())}\n")
    return io.StringIO("".join(lines))


def _quoted(value: str) -> str:
    """Quote a value. Postgres's text can't hold NUL; ids with NUL do not pass validation."""
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    if _QUOTE in value:
        value = value.replace(_QUOTE, 2 * _QUOTE)
    return f"{_QUOTE}{value}{_QUOTE}"


def _place(url: str) -> str:
    parsed = _parsed(url)
    return f"{parsed.host}:{parsed.port or 5432}/{parsed.database}"


def _parsed(url: str) -> URL:
    from tastemaker.storage.engine import parse

    parsed = parse(url)
    if parsed.get_backend_name() != "postgresql":
        raise TastemakerError(
            f"log.target is postgres, but the log's database is {parsed.get_backend_name()}",
            fix="set TASTEMAKER_LOG__URL to postgresql://user:password@host/database",
        )
    return parsed
