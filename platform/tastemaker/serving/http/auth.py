"""Who may ask for what: API keys with scopes and limits, from a file that is looked at once a second.

Without a key file only this machine is answered, and only by a name that is the service's own. With one,
every request needs a key that works and allows it; if the file then goes away or can't be read, the keys that
were known stay in force.
"""

from __future__ import annotations

import hmac
import logging
import math
import os
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tastemaker.api.schemas import Refusal
from tastemaker.errors import TastemakerError
from tastemaker.serving.http.api_keys import Key, KeyScope, digest, parse_id, read_keys
from tastemaker.serving.http.asgi import Headers, Scope
from tastemaker.serving.http.hosts import Hosts
from tastemaker.serving.http.rate_limit import RateLimiter
from tastemaker.util.failure_log import FailureLog

KEY_FILE_POLL_SECONDS = 1.0
"""How long a running worker may not know of a change."""
_BEARER = "bearer "
_HERE = ("127.0.0.1", "::1", "")
"""The last one is a Unix socket's."""

logger = logging.getLogger("tastemaker.serving")


class Authenticator:
    """Admits requests or refuses them. Until `open` it knows no key."""

    def __init__(self) -> None:
        self._hosts = Hosts()
        self._keys: dict[str, Key] | None = None
        """By id; None while there is no key file."""
        self._meters: RateLimiter | None = None
        self._path: Path | None = None
        self._stamp: Any = None
        self._next_look = 0.0
        self._failures = FailureLog(logger, "the API key file can be read again")

    @property
    def trouble(self) -> str | None:
        """That the key file is missing or can't be read, in words; None while it can."""
        return self._failures.trouble

    def open(self, path: Path, meters: RateLimiter, hosts: Iterable[str] = ()) -> None:
        """Guard by the keys in this file, now or later. Raises TastemakerError if it can't be read.

        `hosts`: names by which the service may be asked while there is no key, besides this machine's own.
        """
        read_keys(path)
        self._path, self._meters, self._hosts = path, meters, Hosts(hosts)

    def check_host(self, headers: Headers, scope: Scope) -> None:
        """While there is no key, raises Refusal, 400 or 421, unless the service is asked by its own name."""
        if self._path is not None and (now := time.monotonic()) >= self._next_look:
            self._next_look = now + KEY_FILE_POLL_SECONDS
            self._look(self._path)
        if self._keys is None:
            self._hosts.check(headers, scope)

    def authenticate(self, needed: KeyScope, headers: Headers, client: Any) -> None:
        """Once the host is checked, raises Refusal: 401 without a key that works, 403 if it does not allow
        this, 429 over its limit.
        """
        if self._keys is None:
            _require_local(headers, client)
            return
        key = self._known(headers.get(b"authorization", b"").decode("latin-1"))
        if needed not in key.scopes:
            detail = f"the key {key.name!r} does not allow {needed!r}, only {', '.join(key.scopes)}"
            raise Refusal(HTTPStatus.FORBIDDEN, detail)
        if key.per_second is not None and self._meters is not None:
            self._meter(key, key.per_second, self._meters)

    def _known(self, authorization: str) -> Key:
        """The working key that the header holds."""
        if authorization[: len(_BEARER)].lower() != _BEARER:
            detail = "this needs an API key: send the header `Authorization: Bearer tm_...`"
            raise Refusal(HTTPStatus.UNAUTHORIZED, detail, field="Authorization")
        secret = authorization[len(_BEARER) :].strip()
        key = (self._keys or {}).get(parse_id(secret))
        if key is None or not hmac.compare_digest(digest(secret), key.digest) or not key.works(time.time()):
            detail = "this API key is not known, was revoked or is out of date"
            raise Refusal(HTTPStatus.UNAUTHORIZED, detail, field="Authorization")
        return key

    def _meter(self, key: Key, per_second: float, meters: RateLimiter) -> None:
        seconds = meters.wait(key.slot, per_second)
        if seconds > 0:
            detail = f"the key {key.name!r} allows {per_second:g} requests a second"
            raise Refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                detail,
                limit=max(1, int(per_second)),
                retry_after=math.ceil(seconds),
            )

    def _look(self, path: Path) -> None:
        """Read the file again if it is another one."""
        try:
            found = os.stat(path)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            stamp = None
        if stamp == self._stamp:
            return
        self._stamp = stamp
        if stamp is None:
            self._failures.failed("the API key file is missing; the keys read last stay valid")
            return
        try:
            self._keys = {key.id: key for key in read_keys(path)}
        except TastemakerError:
            self._keys = self._keys or {}
            self._failures.failed("the API key file can't be read; the keys read last stay valid")
        else:
            self._failures.succeeded()


def _require_local(headers: Headers, client: Any) -> None:
    """Raises Refusal (401) unless the request is this machine's own: not a proxy's, nor a foreign page's."""
    host = "" if client is None else client[0]
    local = host in _HERE or host.removeprefix("::ffff:").startswith("127.")
    proxied = b"x-forwarded-for" in headers or b"forwarded" in headers
    origin = headers.get(b"origin")  # a page that this machine's browser shows may come from anywhere
    foreign = origin is not None and origin.partition(b"://")[2] != headers.get(b"host")
    if not local or proxied or foreign:
        detail = "no API key exists yet, so only this machine is answered; make one: tastemaker keys new"
        raise Refusal(HTTPStatus.UNAUTHORIZED, detail)
