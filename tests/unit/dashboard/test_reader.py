"""Last known contents: fresh ones save reads, old ones are shown while the database is away."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from tastemaker.dashboard import reader
from tastemaker.dashboard.content import PageContent
from tastemaker.dashboard.reader import LastKnown, NothingKnown


class Database:
    """A database whose clock and state a test sets."""

    def __init__(self) -> None:
        self.now, self.reads, self.is_away = 0.0, 0, False
        self.known = LastKnown(clock=lambda: self.now)

    def load(self) -> PageContent:
        self.reads += 1
        if self.is_away:
            raise OperationalError("SELECT 1", {}, Exception("connection refused"))
        return PageContent(f"read {self.reads}", None)

    def get(self, key: str = "page") -> tuple[str, bool]:
        found = self.known.get(key, self.load)
        return found.content.answer, found.is_old


def test_a_fresh_content_is_not_read_again() -> None:
    database = Database()
    assert database.get() == ("read 1", False)
    database.now = reader.FRESH_SECONDS - 0.1
    assert database.get() == ("read 1", False)
    database.now = reader.FRESH_SECONDS + 0.1
    assert database.get() == ("read 2", False)


def test_while_the_database_is_away_the_last_content_is_shown_as_old() -> None:
    database = Database()
    database.get()
    database.now, database.is_away = 60.0, True
    assert database.get() == ("read 1", True)
    with pytest.raises(NothingKnown):
        database.get("another page")
    database.is_away = False
    database.now += reader.RETRY_SECONDS + 0.1
    assert database.get() == ("read 3", False)


def test_a_database_that_is_away_is_not_asked_for_each_page() -> None:
    database = Database()
    database.get()
    database.now, database.is_away = 60.0, True
    for _ in range(20):
        database.get()
    assert database.reads == 2


def test_a_fault_of_the_program_is_not_taken_for_an_absent_database() -> None:
    database = Database()
    database.get()

    def wrong() -> PageContent:
        raise ProgrammingError("SELECT nothing", {}, Exception("no such column"))

    with pytest.raises(ProgrammingError):
        database.known.get("page", wrong, fresh=0)


def test_a_change_is_seen_at_once() -> None:
    database = Database()
    database.get()
    database.known.clear()
    assert database.get() == ("read 2", False)


def test_only_so_many_contents_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "KEPT", 3)
    database = Database()
    for key in "abcd":
        database.get(key)
    database.get("d")
    assert database.reads == 4
    database.get("a")
    assert database.reads == 5


def test_while_one_read_tries_a_database_that_hangs_others_do_not_wait() -> None:
    database = Database()
    database.get()
    database.now, database.is_away = 60.0, True
    database.get()
    database.now += reader.RETRY_SECONDS + 0.1

    def hangs() -> PageContent:
        assert database.get() == ("read 1", True), "another page is answered meanwhile"
        raise OperationalError("SELECT 1", {}, Exception("timeout"))

    assert database.known.get("page", hangs).is_old
    assert database.reads == 2
