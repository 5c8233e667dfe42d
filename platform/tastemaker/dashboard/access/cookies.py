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
        """Return the value of a cookie; None if it was not sent.

        Args:
            request: What the browser sent.
            name: The cookie's name without its prefix, such as `SESSION`.
        """
        return request.cookies.get(self._prefix + name)

    def write(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Set a cookie in a response.

        Args:
            response: The answer to the browser; it gets a header.
            name: The cookie's name without its prefix, such as `SESSION`.
            value: Its value; scripts in the browser can't read it.
            seconds: How long the browser keeps it.
        """
        response.set_cookie(
            self._prefix + name, value, max_age=seconds, httponly=True, samesite="lax", secure=self._is_https
        )

    def delete(self, response: Response, name: str) -> None:
        """Have the browser delete a cookie.

        Args:
            response: The answer to the browser; it gets a header.
            name: The cookie's name without its prefix, such as `SESSION`.
        """
        response.delete_cookie(self._prefix + name, httponly=True, samesite="lax", secure=self._is_https)
