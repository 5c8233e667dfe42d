"""Who sends a request: a logged-in user, one that a proxy names, or this machine while there are no users."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, exists, select
from starlette.requests import Request

from tastemaker.dashboard.access.last_answers import LastAnswers
from tastemaker.dashboard.access.proxied_user import TrustedProxies
from tastemaker.dashboard.access.refusals import Refused
from tastemaker.dashboard.access.sessions import Sessions, read_session
from tastemaker.dashboard.access.users import name_key, read_row, user_of
from tastemaker.dashboard.viewer import ON_THIS_MACHINE, Role, Viewer
from tastemaker.errors import TastemakerError
from tastemaker.storage.tables import dashboard_users
from tastemaker.util.request_origin import is_local


class Identity(NamedTuple):
    """Who sends a request."""

    viewer: Viewer
    holder: str
    """Who the tokens of forms are given to: a session, a proxied user or this machine."""
    session_id: str | None = None
    """The session, which the user can end."""


class Identification:
    """Finds out who sends a request."""

    def __init__(
        self,
        answers: LastAnswers,
        sessions: Sessions,
        proxies: TrustedProxies,
        default_role: Role | None = None,
    ) -> None:
        """Use the database of users.

        Args:
            answers: Reads the users and sessions, and knows the last answers while the database is away.
            sessions: Reads cookies.
            proxies: The proxies that may name users.
            default_role: Role of users that only the proxy knows; None: they are refused.
        """
        self._answers, self._sessions, self._proxies = answers, sessions, proxies
        self._default_role = default_role
        self._had_users = False

    async def identify(self, request: Request, cookie: str | None) -> Identity | None:
        """Return who sends a request; None if that is not known.

        Args:
            request: Says where it comes from, and which user a trusted proxy names.
            cookie: The value of the cookie that names a session; None if none was sent.

        Raises:
            Refused: The proxy names a user who may not see the dashboard.
            DatabaseAway: It is not known since the database does not answer.
        """
        if (name := self._proxies.user(request)) is not None:
            return await self._proxied(name)
        if cookie and (session_id := self._sessions.named_in(cookie)) is not None:
            user = await self._answers.ask(session_id, lambda one: read_session(one, session_id))
            if user is not None:
                return Identity(user.viewer, f"session {session_id}", session_id)
        if not self._proxies.name_users and is_local(request) and not await self.has_users():
            return Identity(ON_THIS_MACHINE, "this machine")
        return None

    async def has_users(self) -> bool:
        """Return whether there are users, or were since this process started.

        A table that is emptied by accident must not open the dashboard.
        """
        self._had_users = self._had_users or await self._answers.ask("users", _has_users)
        return self._had_users

    def no_users(self) -> Refused:
        """Return what to answer to a request that is not this machine's, while there are no users."""
        if self._proxies.name_users:
            return Refused(403, "No user is named", "Open the dashboard at the address of its proxy.")
        return Refused(
            403,
            "Only this machine is answered",
            "There are no users yet. On this machine, run: tastemaker users add NAME --role admin",
        )

    async def _proxied(self, name: str) -> Identity:
        try:
            key = name_key(name)
        except TastemakerError as error:
            raise Refused(403, "The proxy names no user", error.problem) from None
        row = await self._answers.ask(f"user {key}", lambda one: read_row(one, key))
        if row is not None:
            return Identity(user_of(row._mapping).viewer, f"user {key}")
        if self._default_role is None:
            raise Refused(
                403,
                "You are not a user of this dashboard",
                f"The proxy names {name!r}. Add this user by: tastemaker users add NAME --by-proxy",
            )
        return Identity(Viewer(name, self._default_role, may_see_users=False), f"user {key}")


def _has_users(connection: Connection) -> bool:
    return bool(connection.execute(select(exists(select(dashboard_users.c.key)))).scalar_one())
