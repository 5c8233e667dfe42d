"""What MkDocs asks of this repository while it builds the site.

Pages outside docs/ (README.md, the models' cards) and generated reference pages are added, and links to files
of the repository are made to work on the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from site_build import repository_links
from site_build.cli_page import cli_page
from site_build.http_page import http_page, report_page
from site_build.settings_page import settings_page
from site_build.tables_page import tables_page

ROOT = Path(__file__).resolve().parents[1]
GENERATED = {
    "reference/cli.md": cli_page,
    "reference/http.md": http_page,
    "reference/report-in.md": report_page,
    "reference/settings.md": settings_page,
    "reference/tables.md": tables_page,
}
_places: dict[str, str] = {}
_NOTE = re.compile(r"(?<=^```bash) .*", re.MULTILINE)
"""What a fence says to the test that types the commands: with it, a fence is text to Markdown."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the decisions, the runbooks and the models' cards to the navigation."""
    decisions = sorted(
        path.name for path in (ROOT / "docs" / "decisions").glob("*.md") if re.match(r"\d{4}-", path.name)
    )
    models = sorted(path.parent.name for path in ROOT.glob("models/*/README.md"))
    runbooks = sorted(path.name for path in (ROOT / "docs" / "how-to" / "runbooks").glob("[a-z]*.md"))
    for section in config.nav or []:
        match section:
            case {"Decisions": list(pages)}:
                pages[:] = ["decisions/README.md", *(f"decisions/{name}" for name in decisions)]
            case {"How-to": list(pages)}:
                pages.append({"Runbooks": [f"how-to/runbooks/{name}" for name in ("README.md", *runbooks)]})
            case {"Reference": list(pages)}:
                pages.append({"Models": [f"reference/models/{name}.md" for name in models]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are not in docs/."""
    pages = [f"docs/{file.src_uri}" for file in files if file.is_documentation_page()]
    outside = repository_links.linked_files(ROOT, pages)
    _places.clear()
    _places.update(outside)
    _places.update({f"docs/{file.src_uri}": file.src_uri for file in files})
    for path, place in outside.items():
        files.append(File.generated(config, place, content=(ROOT / path).read_bytes()))
    for place, build in GENERATED.items():
        files.append(File.generated(config, place, content=build()))
    return files


def on_page_markdown(markdown: str, page: Page, **_more: Any) -> str:
    """Return the page with links that work on the site, and with fences that Markdown reads."""
    markdown = _NOTE.sub("", markdown)
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]
    path = {place: path for path, place in _places.items()}.get(page.file.src_uri)
    return markdown if path is None else repository_links.rewritten(markdown, path, _places)
