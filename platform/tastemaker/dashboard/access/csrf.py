"""Tokens of forms: a page of another site can send a form, but can't know its token (CSRF)."""

from __future__ import annotations

import hashlib
import hmac

from itsdangerous import Signer

FIELD = "csrf_token"
"""Name of the hidden field."""
HEADER = "x-csrf-token"
"""Name of the header in which scripts send the token."""


class CsrfTokens:
    """Tokens that are signed for one session, proxied user or browser."""

    def __init__(self, key: bytes) -> None:
        """Sign tokens with a secret key."""
        self._signer = Signer(
            key, salt="tastemaker.dashboard.csrf", key_derivation="hmac", digest_method=hashlib.sha256
        )

    def token(self, holder: str) -> str:
        """Return the token of who holds a page."""
        return self._signer.get_signature(holder.encode()).decode()

    def is_token(self, given: str, holder: str) -> bool:
        """Return whether a token was made for a holder, in a time that does not depend on how they differ.

        Args:
            given: The token that a form or a script sent; any text, also an empty one.
            holder: Who sent it: an identity's `holder`, or `form_holder` before a login.
        """
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token(holder).encode())


def form_holder(cookie: str) -> str:
    """Return the holder of the login form's token: a browser, by its random cookie."""
    return f"form {cookie}"
