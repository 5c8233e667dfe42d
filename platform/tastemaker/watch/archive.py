"""Samples for windows of days: one block per target and hour in the database.

The newest hour is in memory and is written every few minutes; what is lost when the process is killed is at
most that. Times and values of a block are packed together, since most series change little.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

import msgspec
from sqlalchemy import Engine, select

from tastemaker.alerting.series import Labels
from tastemaker.storage.tables import watch_samples
from tastemaker.storage.upserts import upsert
from tastemaker.watch.rows import utc_datetime
from tastemaker.watch.samples import StoredSample

HOUR = 3_600
WRITE_SECONDS = 300.0
"""How often the newest hour is written."""

Samples = list[tuple[float, float | None]]
Block = dict[tuple[str, Labels], Samples]
"""Metric and labels -> samples, ascending in time."""


class _Packed(msgspec.Struct, array_like=True):
    name: str
    labels: list[tuple[str, str]]
    times: list[float]
    values: list[float | None]


_DECODER = msgspec.msgpack.Decoder(list[_Packed])


class Archive:
    """The blocks of all targets.

    `add` and `far` are for the thread that evaluates, the others for one that may wait for the database.
    """

    def __init__(self, engine: Engine, *, keep_seconds: float) -> None:
        """Begin without samples.

        Args:
            engine: The metadata database.
            keep_seconds: Age up to which samples are kept.
        """
        self._engine, self._keep_seconds = engine, keep_seconds
        self._lock = threading.Lock()
        self._blocks: dict[tuple[str, int], Block] = {}
        """Address and number of the hour -> what was added since this process started."""
        self._changed: set[tuple[str, int]] = set()
        self._merged: set[tuple[str, int]] = set()
        """Hours whose block in the database has been read."""
        self._far: dict[tuple[str, int], Block] = {}

    def add(self, address: str, samples: Iterable[StoredSample]) -> None:
        """Add the samples of a target to the hours in memory, which `write` then stores.

        Args:
            address: The target's address.
            samples: Metric, labels, time in seconds since 1970 UTC and value; None ends a series. Those of a
                series come in the order of time.
        """
        with self._lock:
            for name, labels, at, value in samples:
                hour = address, int(at // HOUR)
                self._blocks.setdefault(hour, {}).setdefault((name, labels), []).append((at, value))
                self._changed.add(hour)

    def write(self, now: float) -> None:
        """Write what was added, and delete what is too old."""
        with self._lock:
            changed, self._changed = self._changed, set()
        try:
            for address, hour in sorted(changed):
                self._write_block(address, hour)
        except BaseException:
            with self._lock:
                self._changed |= changed
            raise
        with self._engine.begin() as connection:
            too_old = utc_datetime(now) - timedelta(seconds=self._keep_seconds + HOUR)
            connection.execute(watch_samples.delete().where(watch_samples.c.start_at < too_old))
        self.forget(now)

    def forget(self, now: float) -> None:
        """Remove the hours from memory that are over and written."""
        newest = int(now // HOUR)
        with self._lock:
            for key in [key for key in self._blocks if key[1] < newest and key not in self._changed]:
                del self._blocks[key]
            self._merged = {key for key in self._merged if key[1] >= newest}

    def load(self, address: str, since: float) -> Iterator[tuple[tuple[str, Labels], Samples]]:
        """Read the stored samples of a target, block by block, the oldest hour first.

        Args:
            address: The target's address.
            since: Seconds since 1970 UTC. Blocks are whole hours: samples of up to an hour before come, too.

        Yields:
            (metric, labels) and its samples in one hour, in the order of time. A series comes once per hour.
        """
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(watch_samples.c.block)
                .where(
                    watch_samples.c.target == address[:500],
                    watch_samples.c.start_at >= utc_datetime(since - HOUR),
                )
                .order_by(watch_samples.c.start_at)
            )
            for (packed,) in rows:
                yield from _unpacked(packed).items()

    def read_far(self, addresses: Iterable[str], ages: Iterable[tuple[float, float]], now: float) -> None:
        """Read the hours that lie so far back, and let go of others.

        Args:
            addresses: The addresses of the targets that are watched; blocks of others are dropped.
            ages: From and to, in seconds before now.
            now: Seconds since 1970 UTC.
        """
        hours = {
            hour
            for newest, oldest in ages
            for hour in range(int((now - oldest) // HOUR), int((now - newest + WRITE_SECONDS) // HOUR) + 1)
        }
        wanted = {(address, hour) for address in addresses for hour in hours}
        found = {key: block for key, block in self._far.items() if key in wanted}
        for address, hour in wanted - found.keys():
            found[address, hour] = self._read_block(address, hour)
        self._far = found

    def far(self, address: str, ages: Iterable[tuple[float, float]], now: float) -> Block:
        """Return the samples of a target in given ranges, among those that `read_far` has read.

        Args:
            address: The target's address.
            ages: From and to, in seconds before now, as in `read_far`.
            now: Seconds since 1970 UTC.

        Returns:
            New lists of samples in the order of time, by metric and labels; none is empty. The WRITE_SECONDS
            after a range belong to it.
        """
        found: Block = {}
        ranges = [(now - oldest, now - newest + WRITE_SECONDS) for newest, oldest in ages]
        for (one, _), block in sorted(self._far.items(), key=lambda item: item[0]):
            if one != address:
                continue
            for series, samples in block.items():
                chosen = [
                    sample for sample in samples if any(low <= sample[0] <= high for low, high in ranges)
                ]
                if chosen:
                    found.setdefault(series, []).extend(chosen)
        return found

    def _write_block(self, address: str, hour: int) -> None:
        key = address, hour
        if key not in self._merged:  # a former process, or the watcher before this one, may have written it
            before = self._read_block(address, hour)
            with self._lock:
                mine = self._blocks.get(key, {})
                self._blocks[key] = _merged(before, mine)
                self._merged.add(key)
        with self._lock:
            packed = _packed(self._blocks.get(key, {}))
        with self._engine.begin() as connection:
            place = {"target": address[:500], "start_at": utc_datetime(hour * HOUR)}
            upsert(connection, watch_samples, [{**place, "block": packed}])

    def _read_block(self, address: str, hour: int) -> Block:
        with self._engine.connect() as connection:
            packed = connection.execute(
                select(watch_samples.c.block).where(
                    watch_samples.c.target == address[:500],
                    watch_samples.c.start_at == utc_datetime(hour * HOUR),
                )
            ).scalar_one_or_none()
        return {} if packed is None else _unpacked(packed)


def _merged(before: Mapping[tuple[str, Labels], Samples], after: Block) -> Block:
    found: Block = {}
    for series in before.keys() | after.keys():
        samples = dict(before.get(series, [])) | dict(after.get(series, []))
        found[series] = sorted(samples.items())
    return found


def _packed(block: Block) -> bytes:
    rows = [
        _Packed(name, sorted(labels), [time for time, _ in samples], [value for _, value in samples])
        for (name, labels), samples in block.items()
    ]
    return zlib.compress(msgspec.msgpack.encode(rows))


def _unpacked(packed: bytes) -> Block:
    return {
        (one.name, frozenset(one.labels)): list(zip(one.times, one.values, strict=True))
        for one in _DECODER.decode(zlib.decompress(packed))
    }
