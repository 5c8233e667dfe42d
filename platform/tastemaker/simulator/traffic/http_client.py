"""Carries bodies to a service over HTTP, well or badly, and says what came back and when.

aiohttp, because a request costs its client 0.13 ms of processor: httpx took 1.8 ms.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp

from tastemaker.errors import TastemakerError

NO_REPLY = 0
"""The status of a request that got none: refused, reset or timed out."""
PIECES = 8
TRICKLE_SECONDS = 1.0
_HANG_UP_SECONDS = 0.002


class HttpReply(NamedTuple):
    """The reply of a service to a request."""

    status: int
    body: bytes
    seconds: float
    retry_after: float | None
    """Seconds that the service asks to wait."""

    @property
    def good(self) -> bool:
        """Whether the service did what was requested."""
        return 200 <= self.status < 300


class HttpClient:
    """An HTTP client that keeps its connections. It is an async context manager.

    Args:
        url: The address of the service, without a path.
        connections: The most connections at a time.
        timeout: Seconds until a request counts as one without a reply.
        headers: Headers of every request besides the content type, such as those for authentication.
    """

    def __init__(
        self, url: str, *, connections: int, timeout: float, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._connections, self._timeout = connections, timeout
        self._headers = {"content-type": "application/json", **(headers or {})}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            headers=self._headers,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ready(self) -> bytes:
        """Return what the service says while it is ready. Raises TastemakerError if it is not."""
        try:
            async with self._session.get(f"{self.url}/readyz") as response:
                if response.status == 200:
                    return await response.read()
                what = f"{self.url}/readyz says {response.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            what = f"nothing answers at {self.url}: {error or type(error).__name__}"
        raise TastemakerError(what, fix="start one with tastemaker serve, or name another address")

    async def get(self, path: str) -> int:
        """Read a page and return its status. Without a reply it is NO_REPLY."""
        try:
            async with self._session.get(f"{self.url}{path}") as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return NO_REPLY

    async def post(self, path: str, body: bytes, *, slow: bool = False, host: str | None = None) -> HttpReply:
        """Send a request and return the reply. Without a reply the status is NO_REPLY.

        Args:
            path: The path of the endpoint.
            body: The JSON to send.
            slow: Send the body in pieces over TRICKLE_SECONDS.
            host: The host that the request names; None for that of the URL.
        """
        start = time.perf_counter()
        try:
            data = _trickled(body) if slow else body
            named = None if host is None else {"host": host}
            async with self._session.post(f"{self.url}{path}", data=data, headers=named) as response:
                content = await response.read()
                asked = response.headers.get("retry-after", "")
                seconds = time.perf_counter() - start
                return HttpReply(response.status, content, seconds, float(asked) if asked.isdigit() else None)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return HttpReply(NO_REPLY, b"", time.perf_counter() - start, None)

    async def hang_up(self, path: str, body: bytes) -> None:
        """Send a request, and break the connection before the reply can be read.

        Args:
            path: The path of the endpoint.
            body: The JSON to send.
        """
        sending = asyncio.create_task(self.post(path, body))
        await asyncio.sleep(_HANG_UP_SECONDS)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _trickled(body: bytes) -> AsyncIterator[bytes]:
    """Yield the body in PIECES over TRICKLE_SECONDS."""
    size = -(-len(body) // PIECES)
    for start in range(0, len(body), size):
        await asyncio.sleep(TRICKLE_SECONDS / PIECES)
        yield body[start : start + size]
