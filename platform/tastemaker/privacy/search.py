"""Search for a user in every file of a home folder, whatever wrote it.

*.parquet          rows: every text column that may name a user; JSON in them by its quoted values
*.db               rows of every table, and the file's bytes: deleted rows must not remain in it
*.npy              values of text arrays, such as a snapshot's user ids; hashes of units in experiments
*.npz              the evaluated users of a backtest, by their key
*.json, *.jsonl, *.ndjson   quoted values
other files        bytes, where the id is a separate word; ids of fewer than MIN_BYTES bytes are not searched
                   there, since they would be found everywhere by chance
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tastemaker.evaluation.evaluator import user_keys
from tastemaker.privacy.suppression_list import FILE_NAME as FORGOTTEN

MIN_BYTES = 5
_REQUESTS = ("request_id", "credited_request_id", "shadow_of")
_THINGS = (
    "item_id item_ids exclude candidates session blocked_items title category country model version kind"
)
_FACTS = (
    "stage fallback event_type source table rule failed_rules flags experiment variant variant_served "
    "plan_digest teams team"
)
NOT_USERS = frozenset(f"{_THINGS} {_FACTS}".split())
"""Columns that do not name users: an item, or a variant, may have the name of a user."""


@dataclass(frozen=True)
class Person:
    """The user to search for."""

    ids: tuple[str, ...]
    """The user id in the forms that callers and sources use, and its pseudonyms."""
    request_ids: frozenset[str] = frozenset()
    """Ids of the user's requests."""
    unit_hashes: frozenset[int] = frozenset()
    """Hashes of the ids in files of the units of experiments."""

    @cached_property
    def quoted(self) -> tuple[str, ...]:
        """The ids as JSON strings."""
        return tuple({json.dumps(one, ensure_ascii=ascii_) for one in self.ids for ascii_ in (True, False)})

    @cached_property
    def words(self) -> re.Pattern[bytes]:
        """Pattern of the ids as separate words, in UTF-8."""
        forms = [one for one in self.ids if len(one.encode()) >= MIN_BYTES]
        any_of = b"|".join(re.escape(one.encode()) for one in forms) or rb"(?!)"
        return re.compile(rb"(?<![0-9A-Za-z_])(?:" + any_of + rb")(?![0-9A-Za-z_])")


class Searched(NamedTuple):
    """Result of a search: where and how, and how often the user was found."""

    place: str
    how: str
    looked_at: int
    """Rows, values or bytes."""
    found: int


def search_home(home: Path, person: Person) -> Iterator[Searched]:
    """Search every file of the home folder.

    Args:
        home: The home folder. Links, and the list of erased users, are not searched.
        person: The user.

    Yields:
        One result per file and method, in the order of the paths, which are relative to the home folder.
    """
    for path in sorted(home.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name != FORGOTTEN:
            for how, looked_at, found in search_file(path, person):
                yield Searched(str(path.relative_to(home)), how, looked_at, found)


def search_file(path: Path, person: Person) -> Iterator[tuple[str, int, int]]:
    """Yield method, number looked at and number found for each method; nothing for a file that vanished.

    Args:
        path: The file; its suffix decides how it is searched.
        person: The user.
    """
    search = _BY_SUFFIX.get(path.suffix)
    try:
        if path.suffix == ".db" and not is_database(path):
            search = None
        if search is not None:
            how, count = search
            yield how, *count(path, person)
        if search is None or path.suffix == ".db":
            content = path.read_bytes()
            yield "bytes", len(content), len(person.words.findall(content))
    except FileNotFoundError:
        return


def rows_about(rows: pa.Table, person: Person) -> NDArray[np.bool_]:
    """Return bool[len(rows)]: the rows that are about the user.

    Args:
        rows: Rows of any table; its columns of text are searched, but for those that do not name users.
        person: The user.
    """
    about = np.zeros(len(rows), np.bool_)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if name in NOT_USERS:
            continue
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            continue
        wanted = person.request_ids if name in _REQUESTS else person.ids
        about |= _true(pc.is_in(column, pa.array(sorted(wanted), kind)))
        for quoted in person.quoted:
            about |= _true(pc.match_substring(column, quoted))
    return about


def _true(found: pa.ChunkedArray) -> NDArray[np.bool_]:
    filled: NDArray[np.bool_] = pc.fill_null(found, False).to_numpy()
    return filled


def _in_parquet(path: Path, person: Person) -> tuple[int, int]:
    rows = pq.read_table(path, partitioning=None)
    return len(rows), int(rows_about(rows, person).sum())


def _in_database(path: Path, person: Person) -> tuple[int, int]:
    looked_at = found = 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        for table in tables_of(connection):
            for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - the database's own names
                looked_at += 1
                found += row_about(row, person)
    return looked_at, found


def is_database(path: Path) -> bool:
    """Return whether SQLite wrote the file: Feast's registry has the same suffix."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def tables_of(connection: sqlite3.Connection) -> list[str]:
    """Return the quoted names of a SQLite database's tables."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return ['"' + name.replace('"', '""') + '"' for (name,) in names]


def row_about(row: tuple[object, ...], person: Person) -> bool:
    """Return whether a row is about the user: a cell is the id, or contains it.

    Args:
        row: The cells of a row of a SQLite table, of which texts and bytes are searched.
        person: The user.
    """
    for cell in row:
        if isinstance(cell, str):
            if cell in person.ids or any(quoted in cell for quoted in person.quoted):
                return True
            cell = cell.encode("utf-8", "surrogatepass")
        if isinstance(cell, bytes) and (person.words.search(cell) or _as_key(cell, person)):
            return True
    return False


def _as_key(cell: bytes, person: Person) -> bool:
    """Return whether a cell is a serialized entity key of Feast, which has an id after its length."""
    encoded = (one.encode() for one in person.ids)
    return any(len(one).to_bytes(4, "little") + one in cell for one in encoded)


def _in_array(path: Path, person: Person) -> tuple[int, int]:
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.dtype == np.uint64:
        return values.size, int(hashes_about(values, person).sum())
    if values.dtype.kind not in "SU":
        return values.size, 0
    wanted = [one.encode() if values.dtype.kind == "S" else one for one in person.ids]
    return values.size, int(np.isin(values, wanted).sum())


def hashes_about(hashes: NDArray[np.uint64], person: Person) -> NDArray[np.bool_]:
    """Return bool[len(hashes)]: the hashes of enrolled units that are the user's.

    Args:
        hashes: uint64[n], from a file of an experiment's units.
        person: The user, with the hashes of their ids.
    """
    return np.isin(hashes, np.fromiter(person.unit_hashes, np.uint64))


def keys_about(keys: NDArray[np.uint64], person: Person) -> NDArray[np.bool_]:
    """Return bool[len(keys)]: the keys of a backtest's evaluated users that are the user's.

    Args:
        keys: uint64[n], as `user_keys` makes them.
        person: The user.
    """
    return np.isin(keys, user_keys(list(person.ids)))


def _in_backtest(path: Path, person: Person) -> tuple[int, int]:
    with np.load(path, allow_pickle=False) as file:
        keys = file["user_keys"] if "user_keys" in file else np.empty(0, np.uint64)
    return len(keys), int(keys_about(keys, person).sum())


def _in_json(path: Path, person: Person) -> tuple[int, int]:
    text = path.read_text("utf-8", "replace")
    return len(text), sum(text.count(quoted) for quoted in person.quoted)


_Count = Callable[[Path, Person], tuple[int, int]]
_BY_SUFFIX: dict[str, tuple[str, _Count]] = {
    ".parquet": ("rows", _in_parquet),
    ".db": ("rows", _in_database),
    ".npy": ("values", _in_array),
    ".npz": ("evaluated users", _in_backtest),
    ".json": ("text", _in_json),
    ".jsonl": ("text", _in_json),
    ".ndjson": ("text", _in_json),
}
