"""Erasing a user reaches the audit of searches, and the slices that foreign models reported."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as some
from sqlalchemy import Engine, insert, select

from support.dashboard_homes import measurement
from support.request_logs import fill, request, settings_of
from tastemaker.dashboard.access.audit import read_audit, record_search
from tastemaker.dashboard.viewer import Role, Viewer
from tastemaker.log_search.query import Parser
from tastemaker.log_search.search import parser_for
from tastemaker.privacy import forget
from tastemaker.privacy.dashboard_mentions import redacted
from tastemaker.privacy.pseudonyms import KEY, open_pseudonyms
from tastemaker.privacy.search import Person
from tastemaker.settings import PrivacySettings, Settings
from tastemaker.snapshot.canonical_ids import canonical
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import OWN_SOURCE, measurements

ADA = Viewer("ada", Role.VIEWER, may_see_users=True)
MINE, OTHER = f"{1:032x}", f"{2:032x}"
WHO = "user-1"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A log with a request of user-1 and one of user-2."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(1), request(2)])
    return home


@pytest.fixture
def engine(home: Settings) -> Iterator[Engine]:
    found = open_engine(home.metadata_url)
    yield found
    found.dispose()


def audited(engine: Engine, settings: Settings, *queries: str) -> None:
    for query in queries:
        record_search(engine, ADA, parser_for(settings).as_stored(query), 3)


def reported(engine: Engine, *slices: str, source: str = "foreign", days: int = 1) -> None:
    rows = [measurement("ctr_list", 0.1, days, source=source, slice=one) for one in slices]
    with engine.begin() as connection:
        connection.execute(insert(measurements), rows)


def slices(engine: Engine) -> set[tuple[str, str]]:
    with engine.connect() as connection:
        query = select(measurements.c.source, measurements.c.slice)
        return {(source, name) for source, name in connection.execute(query)}


def test_audited_queries_lose_the_users_ids_and_keep_who_searched(home: Settings, engine: Engine) -> None:
    other = "user:user-2 shown:tea"
    audited(engine, home, "user:user-1 since:2h", f"id:{MINE}", '"user-1"', other, f"id:{OTHER} user!=user-1")
    proof = forget.forget(home, WHO)
    assert {place.place: place.found for place in proof.erased}["metadata search_audit"] == 4
    assert proof.remains == []
    found = read_audit(engine, 10)
    assert [one.query for one in reversed(found)] == [
        "user:(erased) since:2h", "id:(erased)", "(erased)", other, f"id:{OTHER} user!=(erased)",
    ]  # fmt: skip
    assert {(one.user_name, one.rows) for one in found} == {("ada", 3)}


def test_the_erased_ids_are_not_left_in_the_databases_file(home: Settings, engine: Engine) -> None:
    audited(engine, home, *(f"user:user-1 k<{number}" for number in range(200)))
    engine.dispose()
    forget.forget(home, WHO)
    assert b"user-1" not in (home.home / "tastemaker.db").read_bytes()
    with sqlite3.connect(home.home / "tastemaker.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_pseudonyms_are_stored_and_erased(
    home: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "k" * 32)
    hidden = home.model_copy(update={"privacy": PrivacySettings(pseudonymize=True)})
    pseudonyms = open_pseudonyms(hidden)
    assert pseudonyms is not None
    audited(engine, hidden, "user:user-1", f"user:{pseudonyms.of('user-1')}", "user:user-2")
    reported(engine, f"user={pseudonyms.of('user-1')}")
    stored = [one.query for one in read_audit(engine, 10)]
    assert not any("user-" in query for query in stored), "no plain id is stored"
    assert stored[1] == stored[2] == f"user:{pseudonyms.of('user-1')}"
    assert forget.forget(hidden, WHO).remains == []
    assert [one.query for one in read_audit(engine, 10)] == [stored[0], "user:(erased)", "user:(erased)"]
    assert slices(engine) == set()


def test_reported_slices_of_the_user_are_deleted_and_no_others(home: Settings, engine: Engine) -> None:
    theirs = ["user=user-1", "user-1", "x_customer=user-1", "country=NL,user=user-1"]
    others = ["", "user=user-10", "country=user-1x", "user=user-2"]
    reported(engine, *theirs, *others)
    audited(engine, home, "shown:tea")
    found = {place.place: place for place in forget.search(home, forget.person_of(home, WHO))}
    assert found["metadata measurements"][2:] == (8, 4)
    assert len(slices(engine)) == 8, "a search erases nothing"
    proof = forget.forget(home, WHO)
    assert {place.place: place.found for place in proof.erased}["metadata measurements"] == 4
    assert proof.remains == []
    assert slices(engine) == {("foreign", one) for one in others}


def test_a_position_or_a_week_is_not_a_user_of_that_name(tmp_path: Path) -> None:
    home = settings_of(tmp_path)
    fill(home.spool, [request(1, user_id="7")])
    engine = open_engine(home.metadata_url)
    reported(engine, "position=7", "week=7", "category=7", "user=7")
    reported(engine, "position=7", "user=7", source=OWN_SOURCE)
    audited(engine, home, "user:7 k<7 since:7d", "user:70")
    forget.forget(home, "7")
    assert slices(engine) == {("foreign", f"{one}=7") for one in ("position", "week", "category")} | {
        (OWN_SOURCE, "position=7"), (OWN_SOURCE, "user=7")
    }  # fmt: skip
    assert [one.query for one in read_audit(engine, 5)] == ["user:70", "user:(erased) k<7 since:7d"]
    engine.dispose()


@given(some.text(min_size=1, max_size=20), some.sampled_from([":", "=", "!="]))
@example('Ann "x" \\ Lee', ":")
@example("27.0", ":")
@example("a*", "=")
@example("user", ":")
def test_whatever_an_id_is_a_query_for_it_is_redacted(user_id: str, operator: str) -> None:
    assume(canonical(user_id))
    parser = Parser(datetime(2026, 3, 1, tzinfo=UTC))
    written = user_id.replace("\\", "\\\\").replace('"', '\\"')
    query = f'since:2h user{operator}"{written}" k<10'
    stored = parser.as_stored(query)
    term = parser.parse(stored).terms[1]
    values: Any = getattr(term, "values", ())
    person = Person(tuple(dict.fromkeys((user_id, *values))))
    assume(not any(word in person.ids for word in ("since", "user", "2h", "k", "10", "since:2h", "k<10")))
    assert redacted(stored, person) == f"since:2h user{operator}(erased) k<10"
