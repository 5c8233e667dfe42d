"""Users of the dashboard in the metadata database: names, passwords, roles.

A change of a password, a role or a right ends the user's sessions, in the same transaction.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from tastemaker.dashboard.access.passwords import check_new_password, hash_password
from tastemaker.dashboard.viewer import ON_THIS_MACHINE, Role, Viewer
from tastemaker.errors import TastemakerError
from tastemaker.storage.tables import dashboard_sessions, dashboard_users
from tastemaker.util.spelling import did_you_mean

MOST_NAME_CHARACTERS = 100
_MOST_KEY_CHARACTERS = 200


class DashboardUser(NamedTuple):
    """A user, without the password."""

    name: str
    role: Role
    may_see_users: bool
    has_password: bool
    """False: only a proxy logs the user in."""
    created_at: datetime

    @property
    def viewer(self) -> Viewer:
        """The user as the viewer of a page."""
        return Viewer(self.name, self.role, self.may_see_users)


def name_key(name: str) -> str:
    """Return the form in which names are compared: without differences of letter case and composition.

    Raises:
        TastemakerError: It is not a name.
    """
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    is_name = 1 <= len(name) <= MOST_NAME_CHARACTERS and name.isprintable() and name == name.strip()
    if not is_name or not key.isprintable() or not 1 <= len(key) <= _MOST_KEY_CHARACTERS:
        raise TastemakerError(
            f"the name {name[:MOST_NAME_CHARACTERS]!r} has {len(name):,} characters, must have 1 to "
            f"{MOST_NAME_CHARACTERS} printable ones without blanks around",
            fix="shorten it, or remove signs that can't be seen",
        )
    return key


def add_user(
    engine: Engine, name: str, role: Role, *, password: str | None, may_see_users: bool = False
) -> DashboardUser:
    """Add a user.

    Args:
        engine: The metadata database.
        name: The name to log in with.
        role: What the user may do.
        password: The password; None if only a proxy logs the user in.
        may_see_users: Whether user ids may be shown to this user.

    Returns:
        The user as stored, with the name in Unicode's form NFC.

    Raises:
        TastemakerError: The name or the password is not allowed, or there is a user of that name.
    """
    name = unicodedata.normalize("NFC", name)
    key = name_key(name)
    if key == ON_THIS_MACHINE.name:
        raise TastemakerError(f"the name {name!r} is taken by the platform", fix="choose another name")
    if password is not None:
        check_new_password(password)
    row = {
        "key": key,
        "name": name,
        "password": None if password is None else hash_password(password),
        "role": role.word,
        "may_see_users": may_see_users,
        "created_at": datetime.now(UTC),
    }
    try:
        with engine.begin() as connection:
            connection.execute(insert(dashboard_users).values(**row))
    except IntegrityError:
        known = find_user(engine, name)
        raise TastemakerError(
            f"there is a user {name if known is None else known.name!r}",
            fix="choose another name, or change that user: tastemaker users role, tastemaker users password",
        ) from None
    return user_of(row)


def list_users(engine: Engine) -> list[DashboardUser]:
    """Return all users by name."""
    with engine.connect() as connection:
        rows = connection.execute(select(dashboard_users).order_by(dashboard_users.c.key)).all()
    return [user_of(row._mapping) for row in rows]


def find_user(engine: Engine, name: str) -> DashboardUser | None:
    """Return the user of a name; None if there is none.

    Args:
        engine: The metadata database.
        name: The name; letter case and composition may differ from the stored name's (`name_key`).
    """
    with engine.connect() as connection:
        row = read_row(connection, name_key(name))
    return None if row is None else user_of(row._mapping)


def read_row(connection: Connection, key: str, *, lock: bool = False) -> Row[Any] | None:
    """Return the row of a user; None if there is none.

    Args:
        connection: To the metadata database.
        key: Key of the name.
        lock: Keep other transactions from changing it until this one ends (Postgres; SQLite has one writer).
    """
    query = select(dashboard_users).where(dashboard_users.c.key == key)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def set_password(engine: Engine, name: str, password: str) -> DashboardUser:
    """Set a user's password, and end the user's sessions.

    Args:
        engine: The metadata database.
        name: The user; letter case and composition may differ from the stored name's.
        password: The new password in clear text; its hash is stored.

    Returns:
        The user after the change; `has_password` is true.

    Raises:
        TastemakerError: The password is not allowed, or there is no such user.
    """
    check_new_password(password)
    with engine.begin() as connection:
        return _change(connection, name, password=hash_password(password))


def set_role(
    engine: Engine, name: str, role: Role, *, may_see_users: bool | None = None, force: bool = False
) -> DashboardUser:
    """Set a user's role, and end the user's sessions.

    Args:
        engine: The metadata database.
        name: The user; letter case and composition may differ from the stored name's.
        role: The new role.
        may_see_users: Whether user ids may be shown; None to leave that as it is.
        force: Change the last admin, too.

    Returns:
        The user with the new role.

    Raises:
        TastemakerError: There is no such user, or it is the last admin.
    """
    more = {} if may_see_users is None else {"may_see_users": may_see_users}
    with engine.begin() as connection:
        if role != Role.ADMIN and not force:
            _require_another_admin(connection, name)
        return _change(connection, name, role=role.word, **more)


def remove_user(engine: Engine, name: str, *, force: bool = False) -> DashboardUser:
    """Remove a user and end the user's sessions.

    Args:
        engine: The metadata database.
        name: The user; letter case and composition may differ from the stored name's.
        force: Remove the last admin, too.

    Returns:
        The user as it was.

    Raises:
        TastemakerError: There is no such user, or it is the last admin.
    """
    with engine.begin() as connection:
        if not force:
            _require_another_admin(connection, name)
        gone = _change(connection, name)
        connection.execute(dashboard_users.delete().where(dashboard_users.c.key == name_key(name)))
    return gone


def _change(connection: Connection, name: str, **values: Any) -> DashboardUser:
    """Write values of a user, and end the sessions."""
    row = _require_row(connection, name)
    connection.execute(dashboard_sessions.delete().where(dashboard_sessions.c.user_key == row.key))
    if values:
        connection.execute(update(dashboard_users).where(dashboard_users.c.key == row.key).values(**values))
    return user_of({**row._mapping, **values})


def _require_row(connection: Connection, name: str) -> Row[Any]:
    row = read_row(connection, name_key(name), lock=True)
    if row is None:
        names = connection.execute(select(dashboard_users.c.name)).scalars().all()
        raise TastemakerError(
            f"there is no user {name!r}",
            fix=did_you_mean(name, names, "see the names: tastemaker users list"),
        )
    return row


def _require_another_admin(connection: Connection, name: str) -> None:
    """Raise TastemakerError if a user is the last admin."""
    row = _require_row(connection, name)
    others = select(func.count()).where(
        dashboard_users.c.role == Role.ADMIN.word, dashboard_users.c.key != row.key
    )
    if row.role == Role.ADMIN.word and not connection.execute(others).scalar_one():
        raise TastemakerError(
            f"{row.name!r} is the last admin",
            fix="make another user admin first (tastemaker users role NAME admin), or repeat with --force",
        )


def user_of(row: Any) -> DashboardUser:
    """Return the user in the columns of a row."""
    return DashboardUser(
        row["name"],
        Role.named(row["role"]),
        row["may_see_users"],
        row["password"] is not None,
        row["created_at"],
    )
