"""What every HTML page must be: said by a parser, and by a real browser at the width of a phone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from playwright.sync_api import Page

from support.browsers import WIDTHS, browsing, overhang
from tastemaker.html import index


class _Resources(HTMLParser):
    """What a browser would fetch, scripts, and the links of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched, self.links, self.scripts = list[str](), list[str](), 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.scripts += tag == "script"
        if tag == "a":
            self.links.append(given.get("href") or "")
        else:
            self.fetched += [given[name] or "" for name in ("src", "href", "srcset", "data") if name in given]


def faults(page: Path, *, own: bool = True) -> list[str]:
    """What is wrong with a page in a folder of reports; of another library's page, less is asked."""
    text = page.read_text("utf-8")
    head, found = index.head_of(page), _Resources()
    found.feed(text)
    wrong = [f"fetches {one[:80]}" for one in found.fetched if not one.startswith("data:")]
    if head is None or head.title == page.name:
        return [*wrong, "has no title"]
    if own:
        wrong += [f"says no {name}" for name in ("summary", "rows") if not getattr(head, name)]
        wrong += [] if head.own else ["is not in the shared shell"]
        wrong += [f"{found.scripts} scripts"] if found.scripts else []
        wrong += ["is not in UTC"] if head.made_at.utcoffset() else []
        links = [page.parent / unquote(one) for one in found.links]
        wrong += [f"links {one.name}, which is not there" for one in links if not one.exists()]
        ElementTree.fromstring(text.partition("\n")[2])  # raises if an element is not closed
    return wrong


def faults_in_a_browser(pages: Sequence[Path]) -> dict[str, list[str]]:
    """Page -> what chromium finds wrong with it: requests, a style that does not hold, what hangs over."""
    wrong: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder, browsing(Path(folder)) as browser:
        for page in pages:
            tab = browser.open(page.resolve().as_uri())
            wrong[page.name] = [fault for width in WIDTHS for fault in _faults_at(tab, width)]
            tab.close()
        asked = [url for url in browser.asked if not url.startswith(("file:", "data:", "blob:"))]
    return {name: said for name, said in (wrong | {"requests": asked}).items() if said}


def _faults_at(tab: Page, width: int) -> list[str]:
    over = overhang(tab, width)
    smallest = tab.evaluate(_SMALLEST_TEXT)
    styled = tab.evaluate(
        "!document.querySelector('.tastemaker') || getComputedStyle(document.body).margin === '0px'"
    )
    said = [] if styled else ["its style is refused by its own policy"]
    said += [f"hangs over by {over} px at {width} px"] if over > 0 else []
    return said + ([f"has text of {smallest:.1f} px at {width} px"] if smallest < 8 else [])


_SMALLEST_TEXT = """() => Math.min(99, ...[...document.querySelectorAll('p, td, th, svg text')].map(one => {
  const drawing = one.closest('svg');
  const scale = drawing ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1;
  return parseFloat(getComputedStyle(one).fontSize) * scale;
}))"""
"""The smallest size of text that a reader sees, in pixels; 99 where there is none."""
