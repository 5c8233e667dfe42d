"""The names under which a service without API keys may be called.

A page of another site can make its own name point to this machine (DNS rebinding). A browser then takes the
service's answers for the page's own and lets it read them; but it sends that name in `Host`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from tastemaker.api.schemas import HTTPError
from tastemaker.serving.http.asgi import Headers, Scope

_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{0,5})?")
_REMEMBERED = 64


class Hosts:
    """The service's names: `localhost`, loopback addresses, the address that was called, and `names`."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        known = {"localhost", *(name.lower() for name in names)}
        self._is_ours = lru_cache(_REMEMBERED)(lambda host, address: _is_ours(host, address, known))

    def check(self, headers: Headers, scope: Scope) -> None:
        """Check that a request names this service in its header Host.

        A request of HTTP/1.0 need not have the header.

        Args:
            headers: The request's, with names in lower case.
            scope: Of ASGI, which has repeated headers and the address that was called.

        Raises:
            HTTPError: 400 unless there is one valid Host, 421 if it is not a name of this service.
        """
        host = headers.get(b"host")
        server = scope.get("server")
        if len(headers) != len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise HTTPError(HTTPStatus.BAD_REQUEST, "there is more than one header Host", field="Host")
        if host is None:
            if scope["http_version"] != "1.0":  # which no browser speaks
                raise HTTPError(HTTPStatus.BAD_REQUEST, "there is no header Host", field="Host")
        elif not self._is_ours(host, None if server is None else server[0]):
            given = host.decode("latin-1")[:100]
            if _AUTHORITY.fullmatch(host) is None:
                detail = f"Host = {given!r} is not a name or address"
                raise HTTPError(HTTPStatus.BAD_REQUEST, detail, field="Host", value=given)
            detail = (
                f"Host = {given!r} is not this service's name: while no API key exists, only localhost, its "
                "address and the names in the setting serving.allowed_hosts are; "
                "or make a key: tastemaker keys new"
            )
            raise HTTPError(HTTPStatus.MISDIRECTED_REQUEST, detail, field="Host", value=given)


def _is_ours(host: bytes, address: str | None, known: set[str]) -> bool:
    """Return whether only this service can have this name in a browser."""
    found = _AUTHORITY.fullmatch(host)
    if found is None:
        return False
    name = found[1].decode().lower().strip("[]").removesuffix(".")
    given = _address(name)
    if given is None:
        return name in known
    return given.is_loopback or given.is_unspecified or given == _address(address or "") or name in known


def _address(text: Any) -> IPv4Address | IPv6Address | None:
    """Return an IP address, as version 4 if it is one inside version 6; None if it is not an address."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
