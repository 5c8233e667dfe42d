"""The dashboard's cookies."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response

SESSION = "tastemaker_session"
"""Names the session."""
BROWSER = "tastemaker_browser"
"""Names a browser that a user has logged in with."""
FORM = "tastemaker_form"
"""Random, so that the login form has a token before there is a session."""


class Cookies:
    """Reads and writes cookies. Where the browser's connection is encrypted, they never leave it.

    The prefix __Host- (RFC 6265bis) then keeps other hosts of the domain from setting them.
    """

    def __init__(self, *, is_https: bool) -> None:
        self._is_https, self._prefix = is_https, "__Host-" if is_https else ""

    def read(self, request: HTTPConnection, name: str) -> str | None:
        """Return the value of a cookie; None if it was not sent."""
        return request.cookies.get(self._prefix + name)

    def write(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Set a cookie in a response.

        Args:
            response: The response.
            name: The cookie's name.
            value: Its value.
            seconds: How long it is kept.
        """
        response.set_cookie(
            self._prefix + name, value, max_age=seconds, httponly=True, samesite="lax", secure=self._is_https
        )

    def delete(self, response: Response, name: str) -> None:
        """Delete a cookie by a response."""
        response.delete_cookie(self._prefix + name, httponly=True, samesite="lax", secure=self._is_https)
