"""A real browser for tests, which records which addresses pages asked for.

Where chromium is not installed (Debian: apt-get install chromium) the test skips with that reason, and fails
in CI. Names of other hosts lead nowhere in it: a page that asks for one is found out, and nothing leaves.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, sync_playwright

from support.servers import not_installed

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
HERE = ("127.0.0.1", "localhost", "")
"""The last one is a file's."""
WIDTHS = (390, 1_280)
SETTLE_MS = 1_500
"""What a page asks for after it was loaded, it asks for by then."""


class Browser:
    """A browser window, what its pages asked for, and the errors of their scripts."""

    def __init__(self, context: BrowserContext) -> None:
        self.context, self.asked, self.errors = context, set[str](), list[str]()
        context.on("request", lambda request: self.asked.add(request.url))
        context.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        context.on("weberror", lambda found: self.errors.append(str(found.error)))

    @property
    def foreign(self) -> set[str]:
        """Addresses on other hosts that any page asked for."""
        return {url for url in self.asked if (urlsplit(url).hostname or "") not in HERE}

    def open(self, url: str, *, settle_ms: int = SETTLE_MS) -> Page:
        """A page once it has settled."""
        page = self.context.new_page()
        page.on("websocket", lambda socket: self.asked.add(socket.url))
        page.goto(url, wait_until="load", timeout=60_000)
        page.wait_for_timeout(settle_ms)
        return page

    def look(self, url: str) -> None:
        """Open a page and close it."""
        self.open(url).close()


@contextmanager
def browsing(folder: Path, timezone: str | None = None) -> Iterator[Browser]:
    """A browser that knows nothing from before; what it keeps is in `folder`; None: this machine's zone."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        not_installed("chromium")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder,
            executable_path=found,
            args=FLAGS,
            viewport={"width": WIDTHS[-1], "height": 900},
            timezone_id=timezone,
        )
        yield Browser(context)
        context.close()


def overhang(page: Page, width: int) -> float:
    """Make the window `width` px wide; return by how many px the page is wider than that.

    A style may move what a new width changes (the search box of the docs slides in): it is measured at rest.
    """
    page.set_viewport_size({"width": width, "height": 900})
    over: float = page.evaluate(_WIDTH_AT_REST) - width
    return over


_WIDTH_AT_REST = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  await frame();
  const endless = one => one.effect.getComputedTiming().endTime === Infinity;
  const moving = document.getAnimations().filter(one => !endless(one));
  await Promise.allSettled(moving.map(one => one.finished));
  await frame();
  return document.documentElement.scrollWidth;
}"""
"""Two frames begin the transitions that a new width starts."""
