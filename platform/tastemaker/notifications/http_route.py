"""The way to a URL: straight, or through the proxy of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)."""

from __future__ import annotations

import errno
import ssl
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3.connection import HTTPConnection, HTTPSConnection

from tastemaker.channel_settings import THIS_MACHINE


class HttpRoute(NamedTuple):
    """A connection that is not open yet, and how to ask on it."""

    connection: HTTPConnection
    target: str
    """What stands in the request's first line."""
    headers: dict[str, str]
    """What a proxy needs to know."""


class _Proxy(NamedTuple):
    host: str
    port: int
    headers: dict[str, str]


def route(url: str, timeout_seconds: float) -> HttpRoute:
    """Return the way to a URL. Certificates are verified.

    Args:
        url: The URL, http or https.
        timeout_seconds: For each operation of the socket.

    Raises:
        OSError: If the environment's proxy is not one that this can use.
    """
    parts = urlsplit(url)
    host, target = parts.hostname or "", (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    proxy = _proxy(parts.scheme, host)
    to, at = (host, port) if proxy is None else (proxy.host, proxy.port)
    if not is_secure:
        plain = HTTPConnection(to, at, timeout=timeout_seconds)
        return HttpRoute(plain, target, {}) if proxy is None else HttpRoute(plain, url, proxy.headers)
    secure = HTTPSConnection(to, at, timeout=timeout_seconds, ssl_context=ssl.create_default_context())
    if proxy is not None:
        secure.set_tunnel(host, port, headers=proxy.headers)
    return HttpRoute(secure, target, {})


def _proxy(scheme: str, host: str) -> _Proxy | None:
    """Return the proxy to a host; None if there is none, and for this machine."""
    named = getproxies().get(scheme)
    if named is None or host in THIS_MACHINE or proxy_bypass(host):
        return None
    parts = urlsplit(named if "://" in named else f"http://{named}")
    if parts.scheme != "http" or not parts.hostname:
        raise OSError(errno.EINVAL, f"{scheme.upper()}_PROXY is not an address such as http://proxy:3128")
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + b64encode(login.encode()).decode("ascii")
    return _Proxy(parts.hostname, parts.port or 3128, headers)
