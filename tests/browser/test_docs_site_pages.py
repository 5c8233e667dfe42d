"""The documentation in a browser: nothing from another host, no sideways scrolling, a search that finds."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.browsers import WIDTHS, Browser, browsing, overhang
from support.docs_site import built_once

PAGES = (
    "index.html",
    "how-to/serving.html",
    "reference/settings.html",
    "reference/cli.html",
    "reference/http.html",
    "reference/tables.html",
    "reference/plugin-api.html",
    "explanation/when-offline-lies.html",
    "decisions/index.html",
)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the site is served."""
    folder = built_once(tmp_path_factory)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_pages_load_from_this_host_only_and_fit_a_phone(address: str, tmp_path: Path) -> None:
    with browsing(tmp_path / "browser") as browser:
        for path in PAGES:
            page = browser.open(f"{address}/{path}")
            for width in WIDTHS:
                assert overhang(page, width) <= 0, (path, width)
            page.close()
        assert browser.asked
        assert not browser.foreign


def test_the_search_finds_a_setting(address: str, tmp_path: Path) -> None:
    with browsing(tmp_path / "browser") as browser:
        _search(browser, address)
        assert not browser.foreign


def _search(browser: Browser, address: str) -> None:
    page = browser.open(address)
    query = page.locator("input[data-md-component=search-query]")
    query.focus()
    # What is typed before the index is loaded is lost.
    page.locator(".md-search-result__meta", has_text="Type to start searching").wait_for(timeout=60_000)
    query.press_sequentially("features_cache_seconds")
    page.locator(".md-search-result__item a[href*='reference/settings']").first.wait_for(timeout=60_000)
