"""The parts of access, put together from settings."""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import Engine
from starlette.routing import Route
from starlette.types import ASGIApp

from tastemaker.dashboard.access.csrf import CsrfTokens
from tastemaker.dashboard.access.identity import Identification
from tastemaker.dashboard.access.last_answers import LastAnswers
from tastemaker.dashboard.access.login import LoginPages
from tastemaker.dashboard.access.login_limits import LoginLimits
from tastemaker.dashboard.access.middleware import AccessMiddleware
from tastemaker.dashboard.access.proxied_user import TrustedProxies
from tastemaker.dashboard.access.security_headers import SecurityHeaders
from tastemaker.dashboard.access.sessions import Sessions
from tastemaker.dashboard.viewer import Role
from tastemaker.settings import Settings
from tastemaker.util.request_origin import LOOPBACK
from tastemaker.util.signing_key import signing_key

KEY_FILE = "dashboard.key"
KEY_VARIABLE = "TASTEMAKER_DASHBOARD_KEY"
"""Environment variable with the key that signs cookies; without it, a file in the home folder has one."""


class Access:
    """Access to the dashboard: the routes of login and logout, and what stands before all pages."""

    def __init__(self, settings: Settings, engine: Engine, *, public: tuple[str, ...] = ()) -> None:
        """Read or make the signing key, and open the meters of logins.

        Args:
            settings: Name the home folder, the dashboard's address and its proxies.
            engine: The metadata database.
            public: Beginnings of the paths that need no user, or check their callers themselves.

        Raises:
            TastemakerError: The key can't be used.
        """
        home, chosen = settings.home, settings.dashboard
        key = signing_key(home / KEY_FILE, KEY_VARIABLE)
        answers, sessions, self._tokens = LastAnswers(engine), Sessions(key), CsrfTokens(key)
        self._proxies = TrustedProxies(chosen.trusted_proxies, chosen.user_header)
        role = None if chosen.default_role is None else Role.named(chosen.default_role)
        self._identification = Identification(answers, sessions, self._proxies, role)
        self._login = LoginPages(
            engine,
            answers,
            sessions=sessions,
            tokens=self._tokens,
            limits=LoginLimits(home, key),
            proxies=self._proxies,
        )
        address = urlsplit(chosen.public_url or "")
        public_name = (address.hostname or "").lower()
        self._names = frozenset({*LOOPBACK, chosen.host.lower(), public_name} - {""})
        self._https_names = frozenset({public_name} if address.scheme == "https" else ())
        self._public = public

    def routes(self) -> list[Route]:
        """Return the routes of login and logout."""
        return self._login.routes()

    def guard(self, app: ASGIApp) -> ASGIApp:
        """Return an application that answers only requests whose sender is known."""
        return SecurityHeaders(
            AccessMiddleware(
                app,
                identification=self._identification,
                proxies=self._proxies,
                tokens=self._tokens,
                names=self._names,
                https_names=self._https_names,
                public=self._public,
            )
        )
