"""Recent feedback in the memory of each worker: it excludes items as soon as it is acknowledged.

    feedback -> spool (on disk) -> a number in shared memory changes -> each worker reads what is new

A worker reads the number before each batch, which costs nothing while no feedback comes, and the files
every FEEDBACK_POLL_SECONDS, so that little is left to read when a request needs it. An event takes 42 bytes
here, as numbers: ids are hashed with the process's own secret. Events that left the spool are in
`event_log.recent`.
"""

from __future__ import annotations

import logging
import mmap
import random
import sqlite3
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tastemaker.event_log.recent import MAX_EVENTS, Reader, RecentEvent, users_of_requests
from tastemaker.event_log.records import IMPRESSION
from tastemaker.plugins.arrays import Bool, Events, Int64, ruled_out
from tastemaker.snapshot.event_reward import Worth, event_worth
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.poller import Poller
from tastemaker.util.shared_memory import shared

Float64 = NDArray[np.float64]

COUNTER = "recent.changed"
FORGOTTEN = "forgotten.json"
"""The home's list of forgotten users (`privacy.suppression_list`): their feedback is dropped here, too."""
FEEDBACK_POLL_SECONDS = 1.0
AT_ONCE = 200
"""Events that are read at once: few, since meanwhile this thread holds Python's lock."""
TAIL = 4_096
"""Events that wait in a dictionary before they are sorted in."""
ASKER_SECONDS = 2.0
"""How long the request that an event names is searched: another worker may not have logged it yet."""
ASKER_RETRY_SECONDS = 0.05
MAX_UNKNOWN = 1_000
"""Events that may wait for it."""
MAX_TYPES = 1_000
"""The most event types; events of further types are ignored."""

logger = logging.getLogger("tastemaker.serving")


class Found(NamedTuple):
    """Events of some users, one entry each, oldest first as they came."""

    rows: Int64
    """The user's place among those asked for."""
    items: Int64
    """`hash` of the item's id."""
    types: Int64
    """Places in `Index.types`."""
    values: Float64
    times: Int64
    """Seconds since 1970 UTC."""

    def take(self, kept: Bool) -> Found:
        """Return the events where `kept`, bool[m], is true."""
        return Found(*(part[kept] for part in self))  # type: ignore[arg-type]  # a tuple's parts have one type


class _Run(NamedTuple):
    """Events by user, and each user's as they came."""

    users: Int64
    events: Int64
    items: Int64
    types: Int64
    values: Float64
    times: Int64

    def take(self, places: NDArray[Any]) -> _Run:
        return _Run(*(part[places] for part in self))


class Index:
    """Events by user: sorted runs, each at least twice as long as the next, and the newest unsorted."""

    def __init__(self, most: int = MAX_EVENTS) -> None:
        """Keep the latest `most` events, and somewhat more between two polls."""
        self.types: dict[str, int] = {}
        self._most, self._runs = most, list[_Run]()
        self._tail: list[tuple[int, int, int, int, float, int]] = []
        self._places: dict[int, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._tail) + sum(len(run.users) for run in self._runs)

    def add(self, events: Sequence[RecentEvent]) -> None:
        """Add events whose user is known."""
        for one in events:
            kind = self.types.get(one.event_type)
            if kind is None:
                kind = self._new_type(one.event_type)
            if kind is not None:
                user, timestamp = hash(one.user_id), int(min(one.occurred_at, one.received_at))
                self._places[user].append(len(self._tail))
                self._tail.append((user, hash(one.event_id), hash(one.item_id), kind, one.value, timestamp))
        if len(self._tail) >= TAIL:
            self._sort_in()

    def of(self, user_ids: Sequence[str]) -> Found | None:
        """Return what these users did, each event once; None if nothing."""
        users = [hash(user_id) for user_id in user_ids]
        parts = [part for run in self._runs if (part := _of_run(run, users)) is not None]
        tail = [(row, place) for row, user in enumerate(users) for place in self._places.get(user, ())]
        if tail:
            rows = np.array([row for row, _ in tail], np.int64)
            parts.append((rows, _run([self._tail[place] for _, place in tail])))
        if not parts:
            return None
        rows = np.concatenate([each for each, _ in parts])
        run = _joined([each for _, each in parts])
        pairs = np.rec.fromarrays([rows, run.events])
        first = np.sort(np.unique(pairs, return_index=True)[1])
        run = run.take(first)
        return Found(rows[first], run.items, run.types, run.values, run.times)

    def _new_type(self, event_type: str) -> int | None:
        if event_type == IMPRESSION or len(self.types) >= MAX_TYPES:
            return None
        return self.types.setdefault(event_type, len(self.types))

    def _sort_in(self) -> None:
        self._runs.append(_by_user(_run(self._tail)))
        self._tail, self._places = [], defaultdict(list)
        while len(self._runs) > 1 and len(self._runs[-2].users) < 2 * len(self._runs[-1].users):
            newest, older = self._runs.pop(), self._runs.pop()
            self._runs.append(_by_user(_joined([older, newest])))
        if len(self) > 1.25 * self._most:
            run = _joined(self._runs)
            oldest = np.partition(run.times, len(run.times) - self._most)[len(run.times) - self._most]
            self._runs = [_by_user(run.take(run.times >= oldest))]


class RecentFeedback:
    """The recent feedback of all workers of this machine. Thread-safe; reading never raises."""

    def __init__(self, folder: Path | None) -> None:
        """Read the spool in `folder`; None for no feedback at all."""
        self._folder, self._index = folder, Index()
        self._reader = None if folder is None else Reader(folder)
        self._changed = memoryview(_shared(folder)).cast("Q")
        self._lock = threading.Lock()
        self._failures = FailureLog(logger, "feedback can be read again")
        self._seen, self._polled_at = 0, -FEEDBACK_POLL_SECONDS
        self._forgotten = self._when_forgotten()
        self._unknown: deque[tuple[float, RecentEvent]] = deque(maxlen=MAX_UNKNOWN)
        """Events whose request is not logged yet, and until when it is searched."""
        self.refresh(at_once=True)
        self._poller: Poller | None = None

    def follow(self) -> None:
        """Poll every FEEDBACK_POLL_SECONDS from now on."""
        self._poller = Poller(self.refresh, seconds=FEEDBACK_POLL_SECONDS, name="recent")

    @property
    def types(self) -> dict[str, int]:
        """The event types that came so far, and the number of each."""
        return self._index.types

    def announce(self) -> None:
        """Have all workers read new feedback before their next answer. Call it when it is on disk."""
        self._changed[0] = random.getrandbits(64)

    def of(self, user_ids: Sequence[str]) -> Found | None:
        """Return what these users did, up to now; None if nothing."""
        if self._changed[0] != self._seen or (self._unknown and self._is_time(ASKER_RETRY_SECONDS)):
            self.refresh(at_once=True)
        if not len(self._index):
            return None
        with self._lock:
            return self._index.of(user_ids)

    def had(self, user_id: str, item_ids: Iterable[str]) -> set[str]:
        """Return the items that the user did anything with: all that is known without a version.

        Args:
            user_id: The user, by the id that is stored.
            item_ids: The items to choose from.
        """
        found = self.of([user_id])
        touched = set() if found is None else set(found.items.tolist())
        return {item_id for item_id in item_ids if hash(item_id) in touched}

    def refresh(self, *, at_once: bool = False) -> None:
        """Read what is new, at most every FEEDBACK_POLL_SECONDS unless `at_once`."""
        if self._reader is None or not (at_once or self._is_time(FEEDBACK_POLL_SECONDS)):
            return
        with self._lock:
            self._polled_at, self._seen = time.monotonic(), self._changed[0]
            try:
                self._restart_if_a_user_was_forgotten(self._reader)
                self._read(self._reader)
            except (sqlite3.Error, OSError) as error:
                self._failures.failed(
                    "recent feedback can't be read; the last state read counts", error=error
                )
            else:
                self._failures.succeeded()

    @property
    def trouble(self) -> str | None:
        """That recent feedback can't be read, in words; None while it can."""
        return self._failures.trouble or (None if self._poller is None else self._poller.trouble)

    def close(self) -> None:
        """Close the files."""
        if self._poller is not None:
            self._poller.close()
        with self._lock:
            if self._reader is not None:
                self._reader.close()

    def _restart_if_a_user_was_forgotten(self, reader: Reader) -> None:
        forgotten = self._when_forgotten()
        if forgotten != self._forgotten:
            self._forgotten, self._index = forgotten, Index()
            self._unknown.clear()
            reader.rewind()

    def _when_forgotten(self) -> int:
        """Return when a user was last forgotten, as the file system says."""
        try:
            return 0 if self._folder is None else (self._folder.parent / FORGOTTEN).stat().st_mtime_ns
        except OSError:
            return 0

    def _is_time(self, seconds: float) -> bool:
        return time.monotonic() - self._polled_at >= seconds

    def _read(self, reader: Reader) -> None:
        try:
            for events in reader.read(AT_ONCE):
                self._add(events)
        finally:  # users may be found in the one file while the other can't be read
            self._find_users()

    def _add(self, events: Sequence[RecentEvent]) -> None:
        self._index.add([one for one in events if one.user_id is not None])
        until = time.monotonic() + ASKER_SECONDS
        anonymous = [(until, one) for one in events if one.user_id is None and one.event_type != IMPRESSION]
        if anonymous:
            self._unknown.extend(anonymous)
            with suppress(sqlite3.Error):  # `_read` tries it again, and raises it
                self._find_users()

    def _find_users(self) -> None:
        """Look for the users of events that name only their request."""
        if not self._unknown or self._folder is None:
            return
        users: dict[str | None, str] = {}
        try:
            ids = [one.request_id for _, one in self._unknown if one.request_id]
            users.update(users_of_requests(self._folder, ids))
        finally:  # what was found before an error counts, and none is given up for an error
            found = [(one, users[one.request_id]) for _, one in self._unknown if one.request_id in users]
            self._index.add([msgspec.structs.replace(one, user_id=user_id) for one, user_id in found])
            self._keep_unknown(lambda _, one: one.request_id not in users)
        now = time.monotonic()
        self._keep_unknown(lambda until, _: now < until)

    def _keep_unknown(self, wanted: Callable[[float, RecentEvent], bool]) -> None:
        self._unknown = deque((each for each in self._unknown if wanted(*each)), MAX_UNKNOWN)


class SinceTraining:
    """What users did since a version was trained, in its own numbers and rewards."""

    def __init__(self, recent: RecentFeedback, snapshot: Snapshot, problem: Mapping[str, Any]) -> None:
        """Prepare to count events by the rewards of a version.

        Args:
            recent: The events of all users.
            snapshot: The version's, which has its item numbers, and whether items are shown again.
            problem: The version's problem file as plain JSON, which has the rewards.
        """
        self._recent, self._snapshot, self._worth = recent, snapshot, event_worth(problem)
        self._weights = np.zeros((0, 2))
        self._hashes: tuple[Int64, Int64] | None = None

    def events(self, user_ids: Sequence[str]) -> Events | None:
        """Return what counts of it, by row of `user_ids` and item number; None if nothing does."""
        found = self._counted(user_ids)
        if found is None:
            return None
        items = self._numbers(found.items)
        known = items >= 0
        rows, rewards = found.rows[known].astype(np.int32), self._rewards(found)[known].astype(np.float32)
        return Events(rows, items[known].astype(np.int32), rewards, found.times[known])

    def hidden(self, user_id: str, item_ids: Iterable[str]) -> set[str]:
        """Return the items, known to the version or not, that must not be shown to the user.

        Args:
            user_id: The user, by the id that is stored.
            item_ids: The items to choose from.
        """
        found = self._counted([user_id])
        if found is None:
            return set()
        hashes, places = np.unique(found.items, return_inverse=True)
        rewards = np.bincount(places, self._rewards(found)).astype(np.float32)
        out = set(hashes[ruled_out(rewards, self._snapshot.repeats)].tolist())
        return {item_id for item_id in item_ids if hash(item_id) in out}

    def _counted(self, user_ids: Sequence[str]) -> Found | None:
        """Return the users' events whose type has a reward; None if there are none."""
        found = self._recent.of(user_ids)
        if found is None:
            return None
        counted = np.asarray(self._weighted(found).any(axis=1))
        return found.take(counted) if counted.any() else None

    def _rewards(self, found: Found) -> Float64:
        weights = self._weighted(found)
        rewards: Float64 = weights[:, 0] + weights[:, 1] * found.values
        return rewards

    def _weighted(self, found: Found) -> Float64:
        """Return the weights of each event, flat and by value, float64[m, 2]."""
        if len(self._weights) < len(self._recent.types):
            weights = [self._worth.get(name, Worth(0.0, 0.0)) for name in tuple(self._recent.types)]
            self._weights = np.array(weights)
        weighted: Float64 = self._weights[found.types]
        return weighted

    def _numbers(self, hashes: Int64) -> Int64:
        """Return the items' numbers in the version, -1 for an item that it does not know."""
        if self._hashes is None:
            ids = self._snapshot.item_ids
            known = np.fromiter(map(hash, ids.decode(np.arange(len(ids)))), np.int64, len(ids))
            order = np.argsort(known)
            self._hashes = known[order], order
        known, order = self._hashes
        if not len(known):
            return np.full(len(hashes), -1)
        places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        return np.where(known[places] == hashes, order[places], -1)


def _shared(folder: Path | None) -> mmap.mmap:
    """Return eight bytes that all workers of the machine share."""
    return mmap.mmap(-1, 8) if folder is None else shared(folder / COUNTER, 8)


def _of_run(run: _Run, users: Sequence[int]) -> tuple[Int64, _Run] | None:
    """Return the place in `users` of each of their events in a run, and the events; None without any."""
    firsts = np.searchsorted(run.users, users)
    ends = np.searchsorted(run.users, users, side="right")
    lengths = ends - firsts
    if not lengths.any():
        return None
    rows = np.repeat(np.arange(len(users)), lengths)
    places = np.arange(len(rows)) + np.repeat(firsts - np.cumsum(lengths) + lengths, lengths)
    return rows, run.take(places)


def _run(events: Sequence[tuple[int, int, int, int, float, int]]) -> _Run:
    kinds = (np.int64, np.int64, np.int64, np.int16, np.float64, np.int64)
    return _Run(*(np.array(part, kind) for part, kind in zip(zip(*events, strict=True), kinds, strict=True)))


def _joined(runs: Sequence[_Run]) -> _Run:
    return _Run(*map(np.concatenate, zip(*runs, strict=True)))


def _by_user(run: _Run) -> _Run:
    return run.take(np.argsort(run.users, kind="stable"))
