"""The socket that a server of ours listens on."""

from __future__ import annotations

import socket

from tastemaker.errors import TastemakerError


def listen(host: str, port: int, *, fix: str) -> socket.socket:
    """Return a socket that is bound to an address of this machine.

    Args:
        host: IPv4 or IPv6 address, or a name.
        port: The port; 0 for any that is free.
        fix: What to do if the address is taken.

    Raises:
        TastemakerError: The port is taken, or the address is not this machine's.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise TastemakerError(f"can't listen on {host}:{port}: {error.strerror}", fix=fix) from error
    return made
