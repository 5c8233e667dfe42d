"""Authentication and authorization by API keys, from a file that is polled once a second.

Without a key file, only requests from this machine are answered, and only under a name of this service. With
one, every request needs an active key with the right scope. If the file then goes missing or can't be read,
the keys read last stay valid.
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

from tastemaker.api.control import CONTROL_HEADER, CONTROLLED
from tastemaker.api.schemas import HTTPError
from tastemaker.errors import TastemakerError
from tastemaker.serving.http.api_keys import Key, KeyScope, digest, parse_id, read_keys
from tastemaker.serving.http.asgi import Headers, Scope
from tastemaker.serving.http.control import NAME as CONTROL_NAME
from tastemaker.serving.http.hosts import Hosts
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.rate_limit import RateLimiter

KEY_FILE_POLL_SECONDS = 1.0
"""After how long a running worker applies a change."""
_BEARER = "bearer "
_NO_CONTROL = (
    f"only a controller may send the header {CONTROL_HEADER}: with a key of the scope `control`, or to a "
    f"service that it started ({CONTROLLED}=1)"
)
_HERE = ("127.0.0.1", "::1", "")
"""The last one is a Unix socket's."""

logger = logging.getLogger("tastemaker.serving")


class Authenticator:
    """Authenticates requests. Until `open` it knows no key."""

    def __init__(self) -> None:
        self._hosts = Hosts()
        self._keys: dict[str, Key] | None = None
        """By id; None while there is no key file."""
        self._limiter: RateLimiter | None = None
        self._is_controlled = False
        self._path: Path | None = None
        self._stamp: Any = None
        self._next_poll = 0.0
        self._failures = FailureLog(logger, "the API key file can be read again")

    @property
    def trouble(self) -> str | None:
        """That the key file is missing or can't be read, in words; None while it can."""
        return self._failures.trouble

    def open(
        self, path: Path, limiter: RateLimiter, hosts: Iterable[str] = (), *, is_controlled: bool = False
    ) -> None:
        """Use the keys in a file, which may be created later.

        Args:
            path: The key file.
            limiter: Counts requests against the keys' limits.
            hosts: Names of this service, besides this machine's own, while there is no key.
            is_controlled: Whether the callers on the service's Unix socket are its controller, which has
                authenticated the callers that it passes on.

        Raises:
            TastemakerError: If the file can't be read.
        """
        read_keys(path)
        self._path, self._limiter, self._hosts = path, limiter, Hosts(hosts)
        self._is_controlled = is_controlled

    def check_host(self, headers: Headers, scope: Scope) -> None:
        """Check the header Host while there is no key, and look for changes of the key file once a second.

        Args:
            headers: The request's, with names in lower case.
            scope: Of ASGI, which has repeated headers and the address that was called.

        Raises:
            HTTPError: 400 or 421, while there is no key and Host is not a name of this service.
        """
        if self._path is not None and (now := time.monotonic()) >= self._next_poll:
            self._next_poll = now + KEY_FILE_POLL_SECONDS
            self._poll(self._path)
        if self._keys is None:
            self._hosts.check(headers, scope)

    def authenticate(self, needed: KeyScope, headers: Headers, client: Any) -> Key | None:
        """Check the API key of a request whose host was checked.

        A request with a controller's header needs the scope `control` in the place of the endpoint's.

        Args:
            needed: The scope of the endpoint.
            headers: The request's.
            client: The caller's address and port, as ASGI has them.

        Returns:
            The key; None for a request of this machine while there is no key, and for one of the controller.

        Raises:
            HTTPError: 401 without an active key, 403 without the scope, 429 over the key's limit.
        """
        if CONTROL_NAME in headers:
            if self._is_controlled and _is_unix_socket(client):
                return None
            if self._keys is None and not self._is_controlled:
                raise HTTPError(HTTPStatus.FORBIDDEN, _NO_CONTROL, field=CONTROL_HEADER)
            needed = "control"
        if self._keys is None:
            _require_local(headers, client)
            return None
        key = self._known(headers.get(b"authorization", b"").decode("latin-1"))
        if needed not in key.scopes:
            detail = f"the key {key.name!r} does not allow {needed!r}, only {', '.join(key.scopes)}"
            raise HTTPError(HTTPStatus.FORBIDDEN, detail)
        if key.per_second is not None and self._limiter is not None:
            self._limit(key, key.per_second, self._limiter)
        return key

    def _known(self, authorization: str) -> Key:
        """Return the active key in the header. Raises HTTPError (401)."""
        if authorization[: len(_BEARER)].lower() != _BEARER:
            detail = "an API key is required: send the header `Authorization: Bearer tm_...`"
            raise HTTPError(HTTPStatus.UNAUTHORIZED, detail, field="Authorization")
        secret = authorization[len(_BEARER) :].strip()
        key = (self._keys or {}).get(parse_id(secret))
        if (
            key is None
            or not hmac.compare_digest(digest(secret), key.digest)
            or not key.is_active(time.time())
        ):
            detail = "this API key is unknown, revoked or expired"
            raise HTTPError(HTTPStatus.UNAUTHORIZED, detail, field="Authorization")
        return key

    def _limit(self, key: Key, per_second: float, limiter: RateLimiter) -> None:
        seconds = limiter.wait(key.slot, per_second)
        if seconds > 0:
            detail = f"the key {key.name!r} allows {per_second:g} requests a second"
            raise HTTPError(
                HTTPStatus.TOO_MANY_REQUESTS,
                detail,
                limit=max(1, int(per_second)),
                retry_after=math.ceil(seconds),
            )

    def _poll(self, path: Path) -> None:
        """Read the file again if it changed."""
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


def _is_unix_socket(client: Any) -> bool:
    return client is None or client[0] == ""


def _require_local(headers: Headers, client: Any) -> None:
    """Raise HTTPError (401) for requests of other machines, of proxies and of other sites' pages."""
    host = "" if client is None else client[0]
    local = host in _HERE or host.removeprefix("::ffff:").startswith("127.")
    proxied = b"x-forwarded-for" in headers or b"forwarded" in headers
    origin = headers.get(b"origin")  # a page in this machine's browser may be any site's
    foreign = origin is not None and origin.partition(b"://")[2] != headers.get(b"host")
    if not local or proxied or foreign:
        detail = (
            "no API key exists, so only requests from this machine are answered; "
            "create one: tastemaker keys new"
        )
        raise HTTPError(HTTPStatus.UNAUTHORIZED, detail)
