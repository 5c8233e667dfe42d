"""Users that an authenticating proxy names, such as oauth2-proxy, and addresses of callers behind proxies.

Both headers are believed only if a listed proxy sent the request. From another address, the name of a user is
ignored, and a warning is logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

logger = logging.getLogger("tastemaker.dashboard")
WARNING_SECONDS = 60.0
"""At most one warning about a header from elsewhere in this time."""


class TrustedProxies:
    """The listed proxies, and what they say about the user of a request."""

    def __init__(self, proxies: Iterable[str] = (), user_header: str | None = None) -> None:
        """Trust proxies.

        Args:
            proxies: Addresses or networks.
            user_header: Header with the user's name; None if no proxy names users.
        """
        self._networks = [ip_network(one, strict=False) for one in proxies]
        self._header = None if user_header is None else user_header.lower()
        self._next_warning = 0.0

    @property
    def name_users(self) -> bool:
        """Whether a proxy names users."""
        return self._header is not None

    def user(self, request: HTTPConnection) -> str | None:
        """Return the name of the user; None if no trusted proxy gives exactly one."""
        if self._header is None:
            return None
        given = request.headers.getlist(self._header)
        if not given:
            return None
        if not self.sent(request):
            self._warn(request)
            return None
        try:
            return given[0].encode("latin-1").decode() if len(given) == 1 and given[0] else None
        except UnicodeDecodeError:
            return None

    def sent(self, request: HTTPConnection) -> bool:
        """Return whether a trusted proxy sent a request."""
        return self._is_listed("" if request.client is None else request.client.host)

    def address(self, request: HTTPConnection) -> str:
        """Return the caller's address: the last one in X-Forwarded-For that is not a trusted proxy's."""
        found = "" if request.client is None else request.client.host
        hops = [hop.strip() for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
        while hops and self._is_listed(found):
            found = hops.pop()
        return found

    def is_https(self, request: HTTPConnection) -> bool:
        """Return whether the browser's connection is encrypted."""
        if request.url.scheme == "https":
            return True
        return self.sent(request) and request.headers.get("x-forwarded-proto", "").strip().lower() == "https"

    def _is_listed(self, address: str) -> bool:
        found = parsed_address(address)
        return found is not None and any(found in network for network in self._networks)

    def _warn(self, request: HTTPConnection) -> None:
        if (now := time.monotonic()) < self._next_warning:
            return
        self._next_warning = now + WARNING_SECONDS
        client = None if request.client is None else request.client.host
        logger.warning("%s sent the header %s, and is not in dashboard.trusted_proxies", client, self._header)


def parsed_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, as version 4 if it is one inside version 6; None if it is not an address."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def network_of(address: str) -> str:
    """Return what one caller has: an address of version 4, or a /64 network of version 6."""
    found = parsed_address(address)
    return str(IPv6Network((found, 64), strict=False)) if isinstance(found, IPv6Address) else address
