"""Users of the dashboard: names, changes that end sessions, and the last admin."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import Engine, func, select

from support.dashboard_users import NAME, PASSWORD, quick_hashes
from tastemaker.dashboard.access.sessions import begin_session, end_session, read_session
from tastemaker.dashboard.access.users import (
    add_user,
    find_user,
    list_users,
    name_key,
    read_row,
    remove_user,
    set_password,
    set_role,
)
from tastemaker.dashboard.viewer import ON_THIS_MACHINE, Role
from tastemaker.errors import TastemakerError
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import dashboard_sessions, dashboard_users

__all__ = ["quick_hashes"]
pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with one user, an editor."""
    found = open_engine(f"sqlite:///{tmp_path / 'users.db'}")
    add_user(found, NAME, Role.EDITOR, password=PASSWORD)
    yield found
    found.dispose()


def session(engine: Engine, name: str = NAME) -> str:
    """A new session of a user."""
    with engine.connect() as connection:
        row = read_row(connection, name_key(name))
    assert row is not None
    begun = begin_session(engine, row.key, row.password)
    assert begun is not None
    return begun


def demote(engine: Engine, name: str) -> object:
    """Make a user viewer."""
    return set_role(engine, name, Role.VIEWER)


def is_valid(engine: Engine, session_id: str) -> bool:
    with engine.connect() as connection:
        return read_session(connection, session_id) is not None


def test_a_user_is_found_in_any_letter_case_and_composition(engine: Engine) -> None:
    for written in (NAME, NAME.lower(), NAME.upper(), unicodedata.normalize("NFD", NAME)):
        found = find_user(engine, written)
        assert found is not None
        assert (found.name, found.role, found.may_see_users, found.has_password) == (
            NAME,
            Role.EDITOR,
            False,
            True,
        )
    assert find_user(engine, "Ada Love") is None


@pytest.mark.parametrize("name", [NAME, NAME.upper(), "ＡＤＡ Løve"])
def test_two_users_never_look_the_same(engine: Engine, name: str) -> None:
    with pytest.raises(TastemakerError, match=f"there is a user '{NAME}'"):
        add_user(engine, name, Role.ADMIN, password=PASSWORD)
    assert [one.role for one in list_users(engine)] == [Role.EDITOR]


@pytest.mark.parametrize(
    "name",
    ["", " ", " ada", "ada ", "a\nb", "a\0b", "a\tb", "a\u202eb", "a\u200bb", "a\u00a0b", "\ud800", "x" * 101,
     "\ufdfa" * 100, "\u0301\u200d"],
)  # fmt: skip
def test_a_name_that_can_mislead_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(TastemakerError, match="must have 1 to 100 printable"):
        add_user(engine, name, Role.VIEWER, password=PASSWORD)


def test_the_platforms_own_name_is_refused(engine: Engine) -> None:
    with pytest.raises(TastemakerError, match="taken by the platform"):
        add_user(engine, ON_THIS_MACHINE.name.upper(), Role.VIEWER, password=PASSWORD)


@given(some.text(max_size=120))
def test_the_key_of_a_key_is_itself(name: str) -> None:
    try:
        key = name_key(name)
    except TastemakerError:
        return
    assert 1 <= len(key) <= 200
    assert key.isprintable()
    if len(key) <= 100 and key == key.strip():
        assert name_key(key) == key


@pytest.mark.parametrize(
    "change",
    [
        lambda engine: set_password(engine, NAME, "another long password"),
        lambda engine: set_role(engine, NAME, Role.VIEWER),
        lambda engine: set_role(engine, NAME, Role.EDITOR, may_see_users=True),
        lambda engine: remove_user(engine, NAME),
    ],
)
def test_a_change_of_a_user_ends_the_users_sessions_and_no_others(
    engine: Engine, change: Callable[[Engine], object]
) -> None:
    add_user(engine, "grace", Role.VIEWER, password=PASSWORD)
    first, second, other = session(engine), session(engine), session(engine, "grace")
    change(engine)
    assert [is_valid(engine, one) for one in (first, second, other)] == [False, False, True]


def test_a_user_who_is_added_again_has_no_old_session(engine: Engine) -> None:
    before = session(engine)
    remove_user(engine, NAME)
    add_user(engine, NAME, Role.ADMIN, password=PASSWORD)
    assert not is_valid(engine, before)


def test_no_session_begins_with_a_password_that_was_changed_meanwhile(engine: Engine) -> None:
    with engine.connect() as connection:
        row = read_row(connection, name_key(NAME))
    assert row is not None
    set_password(engine, NAME, "another long password")
    assert begin_session(engine, row.key, row.password) is None
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(dashboard_sessions)).scalar_one() == 0


def test_one_session_ends_without_the_others(engine: Engine) -> None:
    first, second = session(engine), session(engine)
    end_session(engine, first)
    assert [is_valid(engine, one) for one in (first, second)] == [False, True]


def test_the_last_admin_stays_unless_forced(engine: Engine) -> None:
    add_user(engine, "root", Role.ADMIN, password=PASSWORD)
    for change in (remove_user, demote):
        with pytest.raises(TastemakerError, match="'root' is the last admin"):
            change(engine, "ROOT")
    assert set_role(engine, "root", Role.ADMIN, may_see_users=True).may_see_users
    add_user(engine, "second", Role.ADMIN, password=PASSWORD)
    assert remove_user(engine, "root").role == Role.ADMIN
    assert remove_user(engine, "second", force=True).name == "second"


def test_an_unknown_user_is_named_with_the_one_that_was_meant(engine: Engine) -> None:
    for change in (remove_user, demote):
        with pytest.raises(TastemakerError, match="did you mean Ada Løve"):
            change(engine, "Ada Love")


def test_no_password_is_stored_as_it_is(engine: Engine) -> None:
    with engine.connect() as connection:
        (row,) = connection.execute(select(dashboard_users)).all()
    assert PASSWORD not in str(row)
