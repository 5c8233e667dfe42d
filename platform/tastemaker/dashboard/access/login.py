"""The pages `/login` and `/logout`."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine, Row
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tastemaker.dashboard.access import cookies
from tastemaker.dashboard.access.csrf import CsrfTokens, form_holder
from tastemaker.dashboard.access.last_answers import DatabaseAway, LastAnswers
from tastemaker.dashboard.access.login_limits import BROWSER_SECONDS, LoginLimits
from tastemaker.dashboard.access.middleware import LOGIN
from tastemaker.dashboard.access.passwords import MOST_CHARACTERS, is_password
from tastemaker.dashboard.access.proxied_user import TrustedProxies
from tastemaker.dashboard.access.refusals import AWAY, page, refusal
from tastemaker.dashboard.access.sessions import SESSION_SECONDS, Sessions, begin_session, end_session
from tastemaker.dashboard.access.users import MOST_NAME_CHARACTERS, name_key, read_row
from tastemaker.errors import TastemakerError

if TYPE_CHECKING:
    from tastemaker.dashboard.access.identity import Identity

LOGOUT: Final = "/logout"
FORM_SECONDS = 3_600
_HASHES_AT_ONCE = 2
"""Each takes 32 MB."""
_MOST_PATH_CHARACTERS = 2_000
WRONG: Final = "The name or the password is wrong."


class LoginPages:
    """Logging in and out."""

    def __init__(
        self,
        engine: Engine,
        answers: LastAnswers,
        *,
        sessions: Sessions,
        tokens: CsrfTokens,
        limits: LoginLimits,
        proxies: TrustedProxies,
    ) -> None:
        """Use the database of users.

        Args:
            engine: The metadata database.
            answers: The same, with a deadline.
            sessions: Signs cookies.
            tokens: Tokens of forms.
            limits: Counts attempts.
            proxies: The proxies whose headers say from which address a request comes.
        """
        self._engine, self._answers, self._sessions, self._tokens = engine, answers, sessions, tokens
        self._limits, self._proxies = limits, proxies
        self._hashing = CapacityLimiter(_HASHES_AT_ONCE)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(LOGIN, self.show, methods=["GET"]),
            Route(LOGIN, self.log_in, methods=["POST"]),
            Route(LOGOUT, self.log_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Answer with the form, or with the page that was asked for if the user is logged in."""
        after = own_path(request.query_params.get("next", "/"))
        return RedirectResponse(after, 303) if request.state.identity else self._form(request, after)

    async def log_in(self, request: Request) -> Response:
        """Check name and password, and begin a session."""
        form = await request.form()
        name, password, after = (str(form.get(one, "")) for one in ("name", "password", "next"))
        after, key = own_path(after), _key(name)
        browser = request.state.cookies.read(request, cookies.BROWSER)
        if seconds := self._limits.wait(self._proxies.address(request), key, browser):
            return self._too_many(request, after, name, seconds)
        try:
            session_id = await self._begin(key, password)
        except DatabaseAway:
            return refusal(AWAY)
        if session_id is None:
            return self._form(request, after, name=name, problem=WRONG, status=403)
        response = RedirectResponse(after, 303)
        jar = request.state.cookies
        jar.write(response, cookies.SESSION, self._sessions.cookie(session_id), SESSION_SECONDS)
        jar.write(response, cookies.BROWSER, self._limits.browser_cookie(key), BROWSER_SECONDS)
        jar.delete(response, cookies.FORM)
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        identity: Identity = request.state.identity
        session_id = identity.session_id
        if session_id is not None:
            try:
                await self._answers.run(lambda: end_session(self._engine, session_id))
            except DatabaseAway:
                return refusal(AWAY)
            self._answers.drop(session_id)
        response = RedirectResponse(LOGIN, 303)
        request.state.cookies.delete(response, cookies.SESSION)
        return response

    async def _begin(self, key: str, password: str) -> str | None:
        """Return the id of a new session; None for a wrong name or password, after the same time."""
        row = await self._answers.run(lambda: self._row(key))
        stored = None if row is None else row.password
        given = password if len(password) <= MOST_CHARACTERS else ""
        is_right = await to_thread.run_sync(is_password, given, stored, limiter=self._hashing)
        if not is_right or stored is None:
            return None
        return await self._answers.run(lambda: begin_session(self._engine, key, stored))

    def _row(self, key: str) -> Row[Any] | None:
        with self._engine.connect() as connection:
            return read_row(connection, key)

    def _too_many(self, request: Request, after: str, name: str, seconds: float) -> Response:
        problem = f"There were too many attempts. Try again in {math.ceil(seconds)} seconds."
        response = self._form(request, after, name=name, problem=problem, status=429)
        response.headers["Retry-After"] = str(math.ceil(seconds))
        return response

    def _form(
        self, request: Request, after: str, *, name: str = "", problem: str = "", status: int = 200
    ) -> Response:
        """Answer with the form, whose token belongs to a random cookie until there is a session."""
        jar = request.state.cookies
        known = jar.read(request, cookies.FORM) or secrets.token_hex(16)
        fields = {"after": after, "name": name[:MOST_NAME_CHARACTERS], "problem": problem}
        token = self._tokens.token(form_holder(known))
        response = page("login.html", status, csrf_token=token, **fields)
        jar.write(response, cookies.FORM, known, FORM_SECONDS)
        return response


def own_path(given: str) -> str:
    """Return a path of the dashboard to continue at after the login; `/` for what may lead elsewhere."""
    try:
        parts = urlsplit(given)
    except ValueError:
        return "/"
    is_own = given.startswith("/") and not (given.startswith("//") or parts.scheme or parts.netloc)
    is_plain = given.isprintable() and "\\" not in given and len(given) <= _MOST_PATH_CHARACTERS
    return given if is_own and is_plain and parts.path not in (LOGIN, LOGOUT) else "/"


def _key(name: str) -> str:
    """Return the key of a name; an empty one, which no user has, for what is not a name."""
    try:
        return name_key(name)
    except TastemakerError:
        return ""
