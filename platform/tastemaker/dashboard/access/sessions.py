"""Sessions of logged-in users: a random id in the metadata database, and in a signed cookie.

The row makes a session end at once, by logout or a change of the user. The signature keeps guessed and forged
ids from reaching the database, and its time ends a cookie even if the clock was set back.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from itsdangerous import BadSignature, TimestampSigner
from sqlalchemy import Connection, Engine, insert, literal, select

from tastemaker.dashboard.access.users import DashboardUser, read_row, user_of
from tastemaker.storage.tables import dashboard_sessions, dashboard_users

SESSION_SECONDS = 12 * 3_600
"""How long a login is valid."""


class Sessions:
    """Sessions, and the cookies that name them."""

    def __init__(self, key: bytes) -> None:
        """Sign cookies with a secret key."""
        self._signer = TimestampSigner(
            key, salt="tastemaker.dashboard.session", key_derivation="hmac", digest_method=hashlib.sha256
        )

    def cookie(self, session_id: str) -> str:
        """Return the cookie's value that names a session."""
        return self._signer.sign(session_id).decode()

    def named_in(self, cookie: str) -> str | None:
        """Return the id of the session that a cookie names; None if it is forged or has expired."""
        try:
            return self._signer.unsign(cookie.encode("utf-8", "replace"), max_age=SESSION_SECONDS).decode()
        except BadSignature:
            return None


def begin_session(engine: Engine, key: str, password: str) -> str | None:
    """Begin a session of a user, and delete those that have expired.

    Args:
        engine: The metadata database.
        key: Key of the user's name.
        password: The stored password that was checked.

    Returns:
        The session's id; None if the password was changed meanwhile.
    """
    session_id, now = secrets.token_hex(32), datetime.now(UTC)
    user, session = dashboard_users.c, dashboard_sessions.c
    values = select(
        literal(session_id),
        user.key,
        literal(now, session.created_at.type),
        literal(now + timedelta(seconds=SESSION_SECONDS), session.ends_at.type),
    ).where(user.key == key, user.password == password)
    columns = [session.id, session.user_key, session.created_at, session.ends_at]
    with engine.begin() as connection:
        read_row(connection, key, lock=True)
        begun = connection.execute(insert(dashboard_sessions).from_select(columns, values)).rowcount == 1
        connection.execute(dashboard_sessions.delete().where(session.ends_at < now))
    return session_id if begun else None


def read_session(connection: Connection, session_id: str) -> DashboardUser | None:
    """Return the user of a session; None if there is no such session, or it has ended.

    Args:
        connection: To the metadata database.
        session_id: The id in the session's cookie, whose signature was checked.
    """
    query = (
        select(dashboard_users)
        .join(dashboard_sessions, dashboard_sessions.c.user_key == dashboard_users.c.key)
        .where(dashboard_sessions.c.id == session_id, dashboard_sessions.c.ends_at > datetime.now(UTC))
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else user_of(row._mapping)


def end_session(engine: Engine, session_id: str) -> None:
    """Delete a session, so that its cookie is not valid any more; without such a session, do nothing.

    Args:
        engine: The metadata database.
        session_id: The id from `begin_session`.
    """
    with engine.begin() as connection:
        connection.execute(dashboard_sessions.delete().where(dashboard_sessions.c.id == session_id))
