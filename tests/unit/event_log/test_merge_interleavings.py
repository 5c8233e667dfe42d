"""Any order of drains, merges, kills, erasures and reads: each record is read once.

The machine is killed before any rename or deletion of a file, or before a drain deletes its batch. It reads
the log at each of these steps, also from a list of files that is older, or that was made while files came and
went.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.request_logs import click, request
from tastemaker.data.lake import Lake
from tastemaker.data.merged_files import current_files
from tastemaker.event_log import drain as drains
from tastemaker.event_log import merge as merges
from tastemaker.event_log.drain import drain, drained
from tastemaker.event_log.merge import KEPT_SECONDS, merge
from tastemaker.event_log.records import Entry
from tastemaker.event_log.spool_file import FILE_NAME, connected, create, insert, read, rows_of
from tastemaker.privacy import forget, retention
from tastemaker.privacy.search import Person, search_home
from tastemaker.util.atomic_files import remove_abandoned

KEYS = {"requests": "request_id", "feedback": "event_id"}
FIRST, TODAY = date(2026, 3, 1), date(2026, 3, 4)
SPOOLS = ("one", "other")
USERS = ("ann-1", "bob-2", "eve-3")
BATCH = 3
"""Records that a drain has in memory together."""

spools = st.sampled_from(SPOOLS)
days = st.sampled_from([0, 0, 0, 1, 3])
"""Mostly the same, so that it has files to merge."""
kills = st.none() | st.integers(1, 6)
"""Before which rename or deletion the process dies, if it does."""


class Killed(BaseException):
    """The process is dead: nothing that it does has an effect."""


@contextmanager
def process(check: Callable[[], object], dies_at: int | None) -> Iterator[list[bool]]:
    """Run the block as a process. The list becomes true if it lives to the end."""
    replace, unlink = Path.replace, Path.unlink
    steps, lives = 0, [False]

    def step() -> None:
        nonlocal steps
        steps += 1
        if dies_at is not None and steps >= dies_at:
            raise Killed
        check()

    def checked_replace(self: Path, target: Path) -> Path:
        step()
        return replace(self, target)

    def checked_unlink(self: Path, missing_ok: bool = False) -> None:
        step()
        unlink(self, missing_ok=missing_ok)

    with patch.object(Path, "replace", checked_replace), patch.object(Path, "unlink", checked_unlink):
        try:
            yield lives
            lives[0] = True
        except Killed:
            pass


def keys_in(files: Iterable[Path]) -> Counter[str]:
    """The keys of all records in some files."""
    found: Counter[str] = Counter()
    for path in files:
        with pq.ParquetFile(path) as file:
            found.update(file.read([KEYS[path.parts[-3]]]).column(0).to_pylist())
    return found


class MergedLog(RuleBasedStateMachine):
    """A lake with the log of two spools."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.lake = Lake(Path(self.folder.name) / "lake")
        self.logged = 0
        for spool in SPOOLS:
            create(self.path_of(spool))
        self.stored: dict[str, tuple[str, date]] = {}
        """Key -> user and day of the records that every reader has to find."""
        self.unsure: dict[str, tuple[str, date]] = {}
        """Of those that a reader may find: their drain, their erasure or their expiry was killed."""
        self.listed: tuple[list[Path], set[str]] | None = None
        self.bounded = ExitStack()
        self.bounded.enter_context(patch.object(merges, "MOST_ROWS", 5))
        self.bounded.enter_context(patch.object(drains, "BATCH_RECORDS", BATCH))

    def teardown(self) -> None:
        for spool in SPOOLS:
            self.drain(spool, None, dies_before_it_deletes=False)
        for _ in range(2):
            self.merge(None, kept_seconds=-1.0)
        assert self.read() == Counter(dict.fromkeys(self.stored, 1)) | Counter(
            key for key in self.read() if key in self.unsure
        )
        assert not list(self.lake.root.rglob("*-*-*-*.parquet.*.tmp"))
        files = [path for table in KEYS for path in self.lake.files(table)]
        assert set(files) == set(self.lake.root.rglob("*.parquet")), "what was replaced is deleted"
        self.bounded.close()
        self.folder.cleanup()

    def path_of(self, spool: str) -> Path:
        return Path(self.folder.name) / spool / FILE_NAME

    def spooled(self, spool: str) -> dict[str, tuple[str, date]]:
        """Key -> user and day of the records in a spool."""
        pending = read(self.path_of(spool), 1_000_000)
        entries: list[Any] = [] if pending is None else pending.records
        return {key_of(entry): (entry.user_id, day_of(entry)) for entry in entries}

    def files(self) -> list[Path]:
        return [path for table in KEYS for path in self.lake.files(table)]

    def read(self) -> Counter[str]:
        return keys_in(self.files())

    @invariant()
    def each_record_is_read_once(self) -> None:
        found = self.read()
        assert max(found.values(), default=1) == 1
        assert set(self.stored) <= set(found) <= set(self.stored) | set(self.unsure)

    def watched(self) -> Callable[[], None]:
        """Check what is read now, and from a list that was begun when this was called."""
        begun = set(self.lake.root.rglob("*.parquet"))

        def check() -> None:
            self.each_record_is_read_once()
            now = set(self.lake.root.rglob("*.parquet"))
            for torn in (begun | now, begun & now):
                found = keys_in(path for path in current_files(sorted(torn)))
                assert max(found.values(), default=1) == 1
                assert set(self.stored) <= set(found)

        return check

    @rule(spool=spools, days=st.lists(days, min_size=3, max_size=5), asks=st.booleans())
    def log_and_drain(self, spool: str, days: list[int], asks: bool) -> None:
        for user, day in zip(cycle(USERS), days, strict=False):
            self.log(spool, user, day, asks)
            self.drain(spool, None, dies_before_it_deletes=False)

    @rule(spool=spools, user=st.sampled_from(USERS), day=days, asks=st.booleans())
    def log(self, spool: str, user: str, day: int, asks: bool) -> None:
        self.logged += 1
        at = datetime.combine(FIRST + timedelta(days=day), datetime.min.time(), UTC).timestamp() + self.logged
        entry: Entry = (
            request(self.logged, user_id=user, occurred_at=at)
            if asks
            else click(self.logged, user_id=user, received_at=at)
        )
        with connected(self.path_of(spool)) as connection, connection:
            insert(connection, rows_of([entry]))

    @rule(spool=spools, dies_at=kills, dies_before_it_deletes=st.booleans())
    def drain(self, spool: str, dies_at: int | None, dies_before_it_deletes: bool) -> None:
        new = self.spooled(spool)
        self.unsure |= {key: where for key, where in new.items() if key not in self.stored}
        with process(self.each_record_is_read_once, dies_at) as lives, ExitStack() as stack:
            if dies_before_it_deletes:
                stack.enter_context(patch.object(drains, "forget", side_effect=Killed))
            drain(self.path_of(spool).parent, self.lake)
        assert not (lives[0] and self.spooled(spool))
        self.has_drained(new, lives=lives[0])

    def has_drained(self, new: dict[str, tuple[str, date]], *, lives: bool) -> None:
        """Expect what a drain moved; of one that was killed, what arrived."""
        self.stored |= new if lives else {key: new[key] for key in self.read() if key in new}
        self.unsure = {key: where for key, where in self.unsure.items() if key not in self.stored}

    @rule(dies_at=kills, kept_seconds=st.sampled_from([KEPT_SECONDS, -1.0]))
    def merge(self, dies_at: int | None, kept_seconds: float) -> None:
        if kept_seconds < 0:
            self.listed = None  # a reader that takes so long gets an error, and no wrong answer
        with process(self.watched(), dies_at):
            merge(self.lake, today=TODAY, kept_seconds=kept_seconds)

    @rule(spool=spools, asks=st.booleans(), dies_at=kills)
    def merge_while_a_reader_reads(self, spool: str, asks: bool, dies_at: int | None) -> None:
        self.log_and_drain(spool, [0, 0, 0], asks)
        self.list_files()
        for _ in range(2):
            self.merge(dies_at, KEPT_SECONDS)
        self.read_what_was_listed()

    @rule(spool=spools, day=days, asks=st.booleans())
    def merge_before_a_killed_drain_is_repeated(self, spool: str, day: int, asks: bool) -> None:
        for _ in range(2):
            self.log(spool, USERS[0], day, asks)
            self.drain(spool, None, dies_before_it_deletes=True)
            self.merge(None, KEPT_SECONDS)
        self.drain(spool, None, dies_before_it_deletes=False)

    @rule()
    def list_files(self) -> None:
        self.listed = self.files(), set(self.stored)

    @precondition(lambda self: self.listed is not None)
    @rule()
    def read_what_was_listed(self) -> None:
        assert self.listed is not None
        files, stored = self.listed
        found = keys_in(files)
        assert max(found.values(), default=1) == 1
        assert stored & set(self.stored) <= set(found) <= set(self.stored) | set(self.unsure)

    @rule(spool=spools, day=days, asks=st.booleans(), user=st.sampled_from(USERS), dies_at=kills)
    def erase_after_a_killed_drain(
        self, spool: str, day: int, asks: bool, user: str, dies_at: int | None
    ) -> None:
        for each in USERS:
            self.log(spool, each, day, asks)
        self.drain(spool, dies_at, dies_before_it_deletes=True)
        self.erase(user, None)
        self.drain(spool, None, dies_before_it_deletes=False)

    @rule(user=st.sampled_from(USERS), dies_at=kills)
    def erase(self, user: str, dies_at: int | None) -> None:
        person = Person((user,))
        spooled = {key: where for spool in SPOOLS for key, where in self.spooled(spool).items()}
        self.unsure |= {key: where for key, where in spooled.items() if key not in self.stored}
        gone = {key: where for key, where in self.stored.items() if where[0] == user}
        self.unsure |= gone
        self.stored = {key: where for key, where in self.stored.items() if key not in gone}
        with process(self.each_record_is_read_once, dies_at) as lives, ExitStack() as stack:
            for spool in SPOOLS:
                stack.enter_context(drained(self.path_of(spool).parent, self.lake))
            remove_abandoned(self.lake.root)
            for spool in SPOOLS:
                forget._delete_rows(self.path_of(spool), person)
            for path in files_about(self.lake, person):
                forget._rewrite(path, person)
        self.has_drained({key: one for key, one in spooled.items() if one[0] != user}, lives=lives[0])
        if lives[0]:
            self.unsure = {key: where for key, where in self.unsure.items() if where[0] != user}
            assert not files_about(self.lake, person), "replaced files are searched, too"
            assert not list(self.lake.root.rglob("*.tmp"))

    @rule(day=st.integers(1, 2), dies_at=kills)
    def expire(self, day: int, dies_at: int | None) -> None:
        first = FIRST + timedelta(days=day)
        gone = {key: where for key, where in self.stored.items() if where[1] < first}
        self.unsure |= gone
        self.stored = {key: where for key, where in self.stored.items() if key not in gone}
        self.listed = None
        with process(self.each_record_is_read_once, dies_at) as lives:
            for table in KEYS:
                retention._drop(self.lake, table, first)
        if lives[0]:
            self.unsure = {key: where for key, where in self.unsure.items() if where[1] >= first}


def files_about(lake: Lake, person: Person) -> list[Path]:
    """The files with rows about a user."""
    found = [lake.root / place.place for place in search_home(lake.root, person) if place.found]
    return [path for path in found if path.suffix == ".parquet"]


def key_of(entry: Any) -> str:
    """The key of a request or an event."""
    key: str = getattr(entry, "request_id", None) or entry.event_id
    return key


def day_of(entry: Any) -> date:
    """The day on which a record came."""
    at = entry.received_at if hasattr(entry, "received_at") else entry.occurred_at
    return datetime.fromtimestamp(at, UTC).date()


TestMergedLog = pytest.mark.slow(MergedLog.TestCase)
MergedLog.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # it takes minutes to make a failure smaller
)
