"""Limits of login attempts, so that passwords can't be guessed and no attacker can lock a user out.

An attempt from a browser that this user has logged in with before counts for that browser alone: attempts of
others do not delay it (device cookies, OWASP). All other attempts count for the address, for the pair of
address and user, and for the user.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Final, NamedTuple

from itsdangerous import BadSignature, TimestampSigner

from tastemaker.dashboard.access.proxied_user import network_of
from tastemaker.util.rate_limit import RateLimiter

FILE_NAME = "dashboard_logins"
BROWSER_SECONDS = 90 * 86_400
"""How long a browser is known after a login."""
_SLOTS = 1 << 14
"""Of each limit. Two users in one slot share it, which makes it stricter."""


class _Limit(NamedTuple):
    number: int
    per_second: float
    burst: int


PER_ADDRESS: Final = _Limit(0, 1 / 5, 30)
PER_PAIR: Final = _Limit(1, 1 / 60, 5)
PER_USER: Final = _Limit(2, 1 / 10, 20)
PER_BROWSER: Final = _Limit(3, 1 / 10, 10)


class LoginLimits:
    """The meters of login attempts, and the cookies of known browsers."""

    def __init__(self, home: Path, key: bytes) -> None:
        """Count in the home folder.

        Args:
            home: The home folder, which gets the file with the counts.
            key: A secret key; without it, one can't choose names that share a user's meter.
        """
        self._meters, self._key = RateLimiter(home / FILE_NAME, 4 * _SLOTS), key[:64]
        self._signer = TimestampSigner(
            key, salt="tastemaker.dashboard.browser", key_derivation="hmac", digest_method=hashlib.sha256
        )

    def wait(self, address: str, user_key: str, browser: str | None) -> float:
        """Count an attempt, and return the seconds until it is allowed; 0 if it is now.

        Args:
            address: The IP address that the attempt comes from.
            user_key: Key of the name, of a user or not.
            browser: The cookie of a browser that a user has logged in with; None if none was sent.
        """
        if browser is not None and (known := self._browser_of(browser, user_key)) is not None:
            return self._wait(PER_BROWSER, known)
        network = network_of(address)
        return (
            self._wait(PER_ADDRESS, network)
            or self._wait(PER_PAIR, network, user_key)
            or self._wait(PER_USER, user_key)
        )

    def browser_cookie(self, user_key: str) -> str:
        """Return the cookie by which a browser is known as this user's."""
        return self._signer.sign(f"{self._digest(user_key)}-{secrets.token_hex(16)}").decode()

    def _browser_of(self, cookie: str, user_key: str) -> str | None:
        """Return the identity of a browser that the user has logged in with."""
        try:
            found = self._signer.unsign(cookie.encode("utf-8", "replace"), max_age=BROWSER_SECONDS).decode()
        except BadSignature:
            return None
        return found if found.partition("-")[0] == self._digest(user_key) else None

    def _wait(self, limit: _Limit, *parts: str) -> float:
        slot = limit.number * _SLOTS + int(self._digest(*parts), 16) % _SLOTS
        return self._meters.wait(slot, limit.per_second, burst=limit.burst)

    def _digest(self, *parts: str) -> str:
        text = "\n".join(parts).encode("utf-8", "replace")
        return hashlib.blake2b(text, key=self._key, digest_size=16).hexdigest()
