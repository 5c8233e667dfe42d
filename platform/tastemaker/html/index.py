"""`index.html` of a folder of reports: each page with a link, its title, time, rows and summary.

The index reads the head that `shell` writes into each page, so it is right whichever process wrote a page,
and whichever pages were deleted. Documents of other libraries are listed after them by their title.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from tastemaker.errors import TastemakerError
from tastemaker.html.parts import join
from tastemaker.html.shell import CREATED, GENERATOR, ROWS, Page, render
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.file_lock import file_lock

NAME = "index.html"
_LOCK = ".index.lock"
_HEAD_BYTES = 1 << 18
"""Bytes of a file that are searched for its head."""


class Head(NamedTuple):
    """Head of a page: title, summary, rows and time."""

    title: str
    summary: str
    rows: str
    made_at: datetime
    """The time when the page was made; when the file was written, if the page does not have it."""
    own: bool
    """Whether the platform made it, not another library."""


def page_beside(picture: Path) -> Path:
    """Return the path of a plot's page. Raises TastemakerError if it is the plot's own path."""
    page = picture.with_suffix(".html")
    if page == picture:
        raise TastemakerError(
            f"--plot is {picture}, but a plot is a PNG, and its page takes the name with .html",
            fix=f"--plot {picture.with_suffix('.png')}",
        )
    return page


def include(page: Path, reports: Path) -> None:
    """Rewrite the index of the folder of reports if a page lies in it; else do nothing.

    Args:
        page: A page that was written.
        reports: The folder of reports, of which the page may be in a subfolder.
    """
    if reports.resolve() in page.resolve().parents:
        rewrite(reports)


def rewrite(reports: Path) -> Path:
    """Write the index of all pages in a folder and its subfolders, and return its path."""
    path = reports / NAME
    with file_lock(reports / _LOCK):  # else a process that read the folder earlier might write later
        found = {
            file.relative_to(reports).as_posix(): head
            for file in sorted(reports.rglob("*.html"))
            if file != path
            and not any(part.startswith(".") for part in file.relative_to(reports).parts)
            and (head := head_of(file)) is not None
        }
        with atomic_write(path) as partial:
            partial.write_text(_page(found), "utf-8")
    return path


def head_of(file: Path) -> Head | None:
    """Return the head of a page; None if the file no longer exists."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_HEAD_BYTES).decode("utf-8", "replace")
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError:
        return None
    parser = _HeadParser()
    parser.feed(text)
    said = parser.said
    return Head(
        title=" ".join(parser.title.split()) or os.fsencode(file.name).decode("utf-8", "replace"),
        summary=said.get("description", ""),
        rows=said.get(ROWS, ""),
        made_at=_timestamp(said.get(CREATED)) or written,
        own=said.get("generator") == GENERATOR,
    )


class _HeadParser(HTMLParser):
    """HTML parser of the title and the named meta elements before <body>."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.said = "", dict[str, str]()
        self._in_title = self._ended = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._ended = self._ended or tag == "body"
        self._in_title = tag == "title" and not self._ended and not self.title
        given = dict(attrs)
        name, content = given.get("name"), given.get("content")
        if tag == "meta" and name and content and not self._ended:
            self.said.setdefault(name.lower(), content)

    def handle_endtag(self, tag: str) -> None:
        self._in_title = self._in_title and tag != "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data


def _timestamp(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)


def _page(found: dict[str, Head]) -> str:
    own = sorted((one for one in found.items() if one[1].own), key=lambda one: one[1].made_at, reverse=True)
    others = [one for one in found.items() if not one[1].own]
    body = [_listed(own)]
    if others:
        body += [Markup("<h2>Documents of other libraries</h2>"), _listed(others)]
    newest = f"The newest is {own[0][1].title}." if own else "There is no report yet: run tastemaker run."
    return render(
        Page(
            title="Reports",
            summary=newest,
            rows=f"{len(found):,} pages in this folder, the newest first",
            made_at=datetime.now(UTC),
            body=join(body),
        )
    )


def _listed(found: list[tuple[str, Head]]) -> Markup:
    items = join(_item(link, head) for link, head in found)
    return Markup('<ul class="pages">\n{}\n</ul>').format(items) if found else Markup("")


def _item(link: str, head: Head) -> Markup:
    facts = "; ".join(filter(None, [head.rows, f"made {head.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"]))
    return Markup('<li><a href="{}">{}</a>{}<p class="basis">{}</p></li>').format(
        quote(os.fsencode(link)),
        head.title,
        Markup("<p>{}</p>").format(head.summary) if head.summary else "",
        facts,
    )
