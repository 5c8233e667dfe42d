"""Erasure of a user from a home folder and its servers, proved by a second search.

Their rows in logs, landed data, tables and results are deleted, and so are reports that show them, which are
written again by the next run. A model version contains the ids of its users, so versions with the user are
deleted, except those in use: these remain until models are trained again and the user is erased again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from sqlalchemy import create_engine, select

from tastemaker.data.lake import Lake, file_metadata, parquet_writer
from tastemaker.event_log.shipping import collected
from tastemaker.event_log.spool_file import FILE_NAME, connected, rows_about_user
from tastemaker.experiments.enrolled_units import hashes_of
from tastemaker.html import index
from tastemaker.monitoring.report_archive import ReportArchive
from tastemaker.privacy.dashboard_mentions import search_dashboard
from tastemaker.privacy.pseudonyms import open_pseudonyms
from tastemaker.privacy.remote_search import request_ids, search_servers
from tastemaker.privacy.reported_rows import search_reported
from tastemaker.privacy.request_mentions import search_mentions
from tastemaker.privacy.search import (
    Person,
    Searched,
    hashes_about,
    is_database,
    keys_about,
    row_about,
    rows_about,
    search_home,
    tables_of,
)
from tastemaker.privacy.suppression_list import SuppressionList
from tastemaker.registry import Registry, Version, deployment
from tastemaker.registry.artifact import SNAPSHOTS
from tastemaker.settings import Settings
from tastemaker.snapshot.canonical_ids import canonical
from tastemaker.storage.engine import open_engine, overwrite_deleted
from tastemaker.storage.tables import experiments
from tastemaker.util.atomic_files import atomic_write, remove_abandoned, sqlite_url
from tastemaker.util.file_lock import file_lock

_LOCKS = (
    "lake/.land.lock",
    "lake/.publish.lock",
    "lake/.export.lock",
    "lake/.merge.lock",
    "product/.lock",
)
"""In the order in which they are taken, and those of `collected` after them."""
_OWN_TABLES = ("spool", "feast")
"""Folders whose databases hold rows per user, which are deleted. Other databases are only searched."""


class Proof(NamedTuple):
    """Result of an erasure."""

    erased: list[Searched]
    """Where the user was found, and how often."""
    searched: list[Searched]
    """Every place that was searched afterwards."""

    @property
    def remains(self) -> list[Searched]:
        """Where the user still is."""
        return [place for place in self.searched if place.found]


def person_of(settings: Settings, user_id: str) -> Person:
    """Return what to search for: the id as given and in canonical form, its pseudonyms and its requests.

    Args:
        settings: Name the home folder and the servers, in whose logs the requests are found.
        user_id: As callers give it.
    """
    pseudonyms = open_pseudonyms(settings)
    forms = dict.fromkeys((user_id, canonical(user_id, settings.source.ids)))
    ids = (*forms, *(() if pseudonyms is None else map(pseudonyms.of, forms)))
    person = Person(ids)
    known = request_ids(settings, person) | _lake_requests(settings.lake, person)
    known |= {row.request_id for row in rows_about_user(settings.spool / FILE_NAME, ids) if row.request_id}
    return Person(ids, frozenset(known), _unit_hashes(settings, ids))


def _unit_hashes(settings: Settings, ids: Sequence[str]) -> frozenset[int]:
    """Return the hashes of the ids with the salts of all experiments."""
    with open_engine(settings.metadata_url).connect() as connection:
        salts = connection.execute(select(experiments.c.salt)).scalars().all()
    return frozenset(one for salt in salts for one in hashes_of(salt, ids).tolist())


def search(settings: Settings, person: Person) -> list[Searched]:
    """Search every file and server, and return what was found there.

    Args:
        settings: Name the home folder and the servers.
        person: The user, as `person_of` returns them.

    Returns:
        One result per place and method, also where the user was not found.

    Raises:
        TastemakerError: A server does not answer.
    """
    mentions = _mentions(settings, person)
    return [*search_home(settings.home, person), *search_servers(settings, person), *mentions]


def forget(settings: Settings, user_id: str) -> Proof:
    """Erase a user and search again.

    Args:
        settings: Name the home folder and the servers.
        user_id: As callers give it.

    Returns:
        What was erased, and the result of the second search.

    Raises:
        TastemakerError: A server does not answer, so that the erasure is not proved.
    """
    home = settings.home
    with ExitStack() as stack:
        for name in _LOCKS:
            stack.enter_context(file_lock(home / name))
        stack.enter_context(collected(settings, Lake(settings.lake)))
        remove_abandoned(home)
        person = person_of(settings, user_id)
        for one in person.ids:
            SuppressionList(home).add(one)
        erased = [place for place in search_servers(settings, person, erase=True) if place.found]
        erased += _erase_files(settings, person)
        erased += [place for place in _mentions(settings, person, erase=True) if place.found]
        if settings.reports.exists():
            index.rewrite(settings.reports)  # without the pages that were deleted
    return Proof(erased, search(settings, person))


def _mentions(settings: Settings, person: Person, *, erase: bool = False) -> list[Searched]:
    engine = open_engine(settings.metadata_url)
    return [
        *search_mentions(engine, person, erase=erase),
        *search_dashboard(engine, person, erase=erase),
        *search_reported(engine, person, erase=erase),
    ]


def _erase_files(settings: Settings, person: Person) -> list[Searched]:
    registry = Registry(open_engine(settings.metadata_url), settings.artifacts)
    used = _in_use(registry)
    erased = []
    for place in list(search_home(settings.home, person)):
        path = settings.home / place.place
        if place.found and path.exists() and _erase(path, settings, person, used):
            erased.append(place)
    for version in registry.list():  # a version is nothing without its snapshot
        if version.folder not in used and not _snapshot(registry, version).exists():
            shutil.rmtree(version.folder, ignore_errors=True)
    for name in _OWN_TABLES:
        for path in filter(is_database, (settings.home / name).glob("*.db")):
            _scrub(path)
    return erased


def _erase(path: Path, settings: Settings, person: Person, used: set[Path]) -> bool:
    """Erase the user from a file; return whether that was possible."""
    parts = path.relative_to(settings.home).parts
    if path.suffix == ".npz":
        _rewrite_backtest(path, person)
    elif path.suffix == ".npy" and settings.experiments_root in path.parents:
        _drop_hashes(path, person)
    elif settings.artifacts in path.parents:
        return _erase_version(path, settings, used)
    elif path.suffix == ".parquet":
        _rewrite(path, person)
    elif path.suffix == ".db" and parts[0] in _OWN_TABLES and is_database(path):
        _delete_rows(path, person)
    elif path.suffix in (".jsonl", ".ndjson"):
        _drop_lines(path, person)
    elif parts[0] == settings.reports.name:
        ReportArchive(open_engine(settings.metadata_url), settings.reports).erase(path)
    else:
        return False
    return True


def _rewrite(path: Path, person: Person) -> None:
    rows = pq.read_table(path, partitioning=None)
    kept = rows.filter(~rows_about(rows, person))
    with parquet_writer(path, rows.schema, file_metadata(path)) as writer:
        writer.write_table(kept)


def _rewrite_backtest(path: Path, person: Person) -> None:
    """Remove the user from a backtest; the other users' metrics and slices are not changed."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    kept = ~keys_about(arrays["user_keys"], person)
    arrays = {
        name: values[kept] if values.shape[:1] == kept.shape else values for name, values in arrays.items()
    }
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _drop_hashes(path: Path, person: Person) -> None:
    """Remove the user from a file of enrolled units, which keeps its time: the newest is the one in force."""
    hashes, before = np.load(path, allow_pickle=False), path.stat()
    with atomic_write(path) as partial:
        with partial.open("wb") as file:
            np.save(file, hashes[~hashes_about(hashes, person)])
        os.utime(partial, ns=(before.st_atime_ns, before.st_mtime_ns))


def _delete_rows(path: Path, person: Person) -> None:
    if path.name == FILE_NAME:
        numbers = [row.number for row in rows_about_user(path, person.ids, person.request_ids)]
        with connected(path) as connection, connection:
            connection.executemany("DELETE FROM records WHERE number = ?", [(one,) for one in numbers])
        return
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        for table in tables_of(connection):
            rows = connection.execute(f"SELECT rowid, * FROM {table}")  # noqa: S608 - the database's own names
            theirs = [(row[0],) for row in rows if row_about(row[1:], person)]
            connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", theirs)  # noqa: S608 - as above


def _scrub(path: Path) -> None:
    """Remove deleted rows from a database's free pages and its write-ahead log."""
    engine = create_engine(sqlite_url(path), connect_args={"timeout": 10})
    overwrite_deleted(engine)
    engine.dispose()


def _drop_lines(path: Path, person: Person) -> None:
    lines = path.read_text("utf-8").splitlines(keepends=True)
    with atomic_write(path) as partial:
        partial.write_text("".join(one for one in lines if not any(q in one for q in person.quoted)), "utf-8")


def _erase_version(path: Path, settings: Settings, used: set[Path]) -> bool:
    """Delete the whole folder of the version or snapshot that the file belongs to, unless it is in use."""
    depth = len(settings.artifacts.parts) + 2
    folder = Path(*path.parts[:depth])
    if folder in used:
        return False
    shutil.rmtree(folder) if folder.is_dir() else folder.unlink(missing_ok=True)
    return True


def _in_use(registry: Registry) -> set[Path]:
    """Return the folders of champions, of deployed and newest versions per model, and of their snapshots."""
    listed = registry.list()
    newest = {(one.problem, one.model): one for one in reversed(listed)}.values()
    champions = [registry.champion(problem) for problem in {one.problem for one in listed}]
    deployments = [deployment.read(deployment.path_of(registry.artifacts, one.model)) for one in newest]
    ids = {each.version for each in deployments if each is not None}
    deployed = [one for one in listed if one.id in ids]
    versions = [*newest, *deployed, *(one for one in champions if one is not None)]
    return {folder for one in versions for folder in (one.folder, _snapshot(registry, one))}


def _snapshot(registry: Registry, version: Version) -> Path:
    return registry.artifacts / SNAPSHOTS / version.manifest.snapshot


def _lake_requests(lake: Path, person: Person) -> set[str]:
    found: set[str] = set()
    for path in Lake(lake).files("requests"):
        rows = pq.read_table(path, columns=["request_id", "user_id"], partitioning=None)
        found |= set(rows.filter(rows_about(rows, person))["request_id"].to_pylist())
    return found
