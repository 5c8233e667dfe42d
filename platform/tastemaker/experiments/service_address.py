"""Where a service listens: `unix:/path/to/socket` on this machine, or `http://host:port` (https)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tastemaker.errors import TastemakerError

UNIX = "unix:"
MAX_SOCKET_BYTES = 107
"""The longest path of a Unix socket on Linux."""

_URL = re.compile(r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?/?")


class ServiceAddress(NamedTuple):
    """Where a service listens."""

    socket: Path | None
    """The Unix socket; None for an address of the network."""
    host: str = "localhost"
    port: int = 80
    secure: bool = False
    """Whether by TLS, with the system's certificates."""


def parse_address(text: str) -> ServiceAddress:
    """Return the address. Raises TastemakerError if it is neither form."""
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path.startswith("/") or len(path.encode()) > MAX_SOCKET_BYTES:
            raise TastemakerError(
                f"service address {text!r}: the socket's path must be absolute and have at most "
                f"{MAX_SOCKET_BYTES} bytes",
                fix="use a home folder with a shorter path",
            )
        return ServiceAddress(Path(path))
    found = _URL.fullmatch(text)
    if found is None:
        raise TastemakerError(
            f"service address {text!r} is neither unix:/path nor http://host:port",
            fix="name where the pinned service listens, such as http://10.0.0.7:3001",
        )
    secure = found["scheme"] == "https"
    return ServiceAddress(
        None, found["host"].strip("[]"), int(found["port"] or (443 if secure else 80)), secure
    )
