"""Where a request to one of the platform's pages comes from: this machine, a proxy, a page of another site.

A page of another site can send forms to this machine, and can make a name of its own point to it (DNS
rebinding). A browser says so in the headers `Origin`, `Sec-Fetch-Site` and `Host`.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


def is_local(request: HTTPConnection) -> bool:
    """Return whether a request comes from this machine, for this machine, and not from a proxy.

    A proxy on this machine need not name itself; those that don't speak HTTP/1.0, as no browser does.
    """
    client = "" if request.client is None else request.client.host
    is_direct = request.scope.get("http_version") != "1.0" and not any(
        name in request.headers for name in PROXY_HEADERS
    )
    return host_name(request) in LOOPBACK and client in LOOPBACK and is_direct


def host_name(request: HTTPConnection) -> str:
    """Return the name in the header Host, in lower case and without the port; empty without a valid one."""
    return _name(f"//{request.headers.get('host', '')}")


def is_for(request: HTTPConnection, names: Collection[str]) -> bool:
    """Return whether a request is for one of these names, or for an address, which no site can make its own.

    Args:
        request: Whose header Host is read.
        names: In lower case.
    """
    name = host_name(request)
    return name in names or _is_address(name)


def is_from_own_page(request: HTTPConnection, names: Collection[str]) -> bool:
    """Return whether no page of another site sent a request, as far as its browser says.

    Args:
        request: Whose headers Origin and Sec-Fetch-Site are read.
        names: The server's own names, in lower case.
    """
    origin = request.headers.get("origin")
    is_own = origin is None or _name(origin) in names
    return is_own and request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
