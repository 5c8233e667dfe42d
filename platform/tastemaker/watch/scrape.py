"""Scraping: the metrics pages of all targets, in parallel, each with a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import urllib3

MOST_BYTES = 16 << 20
"""The largest page."""
MOST_THREADS = 16
_CHUNK_BYTES = 1 << 16


class ScrapeError(Exception):
    """A target that did not answer with a page in time."""


class Scraper:
    """Reads the pages of targets."""

    def __init__(self) -> None:
        """Create the threads."""
        # A kept connection may be closed by the service at the time of the next scrape.
        self._http = urllib3.PoolManager(retries=False, headers={"Connection": "close"})
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="scrape")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    def pages(self, addresses: Iterable[str], seconds: float) -> Mapping[str, str | ScrapeError]:
        """Return address -> page, or why there is none.

        Args:
            addresses: The services' addresses, without /metrics.
            seconds: Deadline of each service; one that has not answered by then has no page.
        """
        futures = {one: self._threads.submit(self._page, one, seconds) for one in addresses}
        return {one: future.result() for one, future in futures.items()}

    def _page(self, address: str, seconds: float) -> str | ScrapeError:
        until = time.monotonic() + seconds
        try:
            with self._http.request(
                "GET",
                f"{address}/metrics",
                timeout=urllib3.Timeout(total=seconds),
                preload_content=False,
                redirect=False,
                headers={"Accept": "text/plain; version=0.0.4", "Connection": "close"},
            ) as response:
                if response.status != 200:
                    return ScrapeError(f"status {response.status}")
                body = bytearray()
                for chunk in response.stream(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        return ScrapeError(f"the page has more than {MOST_BYTES:,} bytes")
                    if time.monotonic() > until:
                        return ScrapeError(f"the page did not arrive within {seconds:g} s")
            return body.decode()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return ScrapeError(f"{type(error).__name__}: {error}"[:300])


def instance_of(address: str) -> str:
    """Return the label `instance` of an address: host and port.

    >>> instance_of("http://shop:3000"), instance_of("https://shop/a")
    ('shop:3000', 'shop:443')
    """
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
