"""Links from pages to files of the repository that are not in docs/.

A page links to another file by its path in the repository, so that the link works where the repository is
read. On the site, a linked Markdown file is a page, and any other linked file is a copy.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

LINK = re.compile(r"(?P<before>\]\(|src=\")(?P<target>[^)\s\"#]+)(?P<anchor>#[^)\s\"]*)?(?=[)\"])")
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "deploy/README.md": "how-to/deploy.md",
}
"""Markdown file outside docs/ -> its page on the site. models/NAME/README.md is reference/models/NAME.md."""


def page_of(path: str) -> str:
    """Return where the site has a file of the repository, relative to the site's root."""
    if path in PAGES:
        return PAGES[path]
    if found := re.fullmatch(r"models/([a-z_]+)/README\.md", path):
        return f"reference/models/{found[1]}.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}"


def targets(text: str, path: str) -> Iterator[str]:
    """Yield the paths in the repository to which a Markdown file links."""
    for found in LINK.finditer(FENCED.sub("", text)):
        if not EXTERNAL.match(found["target"]):
            yield _resolved(found["target"], path)


def rewritten(text: str, path: str, sites: Mapping[str, str]) -> str:
    """Return a Markdown file's text with links that work on the site.

    Args:
        text: The file's text.
        path: The file's path in the repository.
        sites: Path in the repository -> place on the site, of every file that the site has.
    """
    here = posixpath.dirname(page_of(path))

    def replace(found: re.Match[str]) -> str:
        place = None if EXTERNAL.match(found["target"]) else sites.get(_resolved(found["target"], path))
        if place is None:  # MkDocs reports a link that leads nowhere
            return found[0]
        return found["before"] + posixpath.relpath(place, here or ".") + (found["anchor"] or "")

    return LINK.sub(replace, text)


def linked_files(root: Path, pages: list[str]) -> dict[str, str]:
    """Return path in the repository -> place on the site of every file outside docs/ that the site has."""
    found: dict[str, str] = {}
    cards = (path.relative_to(root).as_posix() for path in root.glob("models/*/README.md"))
    waiting = [*pages, *PAGES, *cards]
    seen = set()
    while waiting:
        path = waiting.pop()
        if path in seen or not (root / path).is_file():
            continue
        seen.add(path)
        if not path.startswith("docs/"):
            found[path] = page_of(path)
        if path.endswith(".md"):
            waiting.extend(targets((root / path).read_text("utf-8"), path))
    return found


def _resolved(target: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
