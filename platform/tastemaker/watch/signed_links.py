"""Links with which the reader of a message can act on one incident, until they expire."""

from __future__ import annotations

import hashlib
import hmac
import time
from pathlib import Path
from typing import Final, Literal, get_args

from tastemaker.util.signing_key import signing_key

Action = Literal["acknowledge", "silence"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
KEY_VARIABLE = "TASTEMAKER_WATCH_KEY"
"""Environment variable with the key; without it, a file in the home folder has one."""
KEY_FILE = "watch.key"
LINK_SECONDS = 86_400
"""How long a link can be used."""


class SignedLinks:
    """Addresses of the alerts' pages; those that act have an expiry and a signature."""

    def __init__(self, base_url: str, key: bytes) -> None:
        """Use an address and a secret key.

        Args:
            base_url: Address of the alerts' pages, without a slash at its end.
            key: The secret with which links are signed (HMAC-SHA256).
        """
        self._base_url, self._key = base_url, key

    def page(self, number: int) -> str:
        """Return the address of an incident's page."""
        return f"{self._base_url}/alerts/{number}"

    def action(self, number: int, action: Action, *, now: float | None = None) -> str:
        """Return the address of the page on which a person acts on an incident.

        Args:
            number: The incident's number.
            action: What is done there.
            now: The time, in seconds since 1970 UTC; None: now.
        """
        expires = int((time.time() if now is None else now) + LINK_SECONDS)
        return (
            f"{self.page(number)}/{action}?expires={expires}&signature={self._sign(number, action, expires)}"
        )

    def is_valid(
        self, number: int, action: str, expires: str, signature: str, *, now: float | None = None
    ) -> bool:
        """Return whether a link was signed with this key and has not expired.

        Args:
            number: The incident's number, as in the link.
            action: What the link does, as in the link.
            expires: Its end, as in the link.
            signature: As in the link.
            now: The time, in seconds since 1970 UTC; None: now.
        """
        if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
            return False
        expected = self._sign(number, action, int(expires))
        is_signed = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
        return is_signed and int(expires) > (time.time() if now is None else now)

    def is_key(self, given: str) -> bool:
        """Return whether a caller gave the key itself."""
        return hmac.compare_digest(self._key, given.encode("utf-8", "replace"))

    def _sign(self, number: int, action: str, expires: int) -> str:
        text = f"{action}\n{number}\n{expires}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def watch_key(home: Path) -> bytes:
    """Return the key of a home folder's watch, which is made if it is missing. Raises TastemakerError."""
    return signing_key(home / KEY_FILE, KEY_VARIABLE)
