"""The documentation's site: built strictly, complete, and without anything from another host."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from support.repository import ROOT

LOADS = {
    *((tag, "src") for tag in ("audio", "embed", "iframe", "img", "input", "script", "source", "video")),
    *((tag, "href") for tag in ("image", "link", "use")),
    ("object", "data"),
}
"""What a browser fetches without a click."""


class _Loaded(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.urls += [value or "" for name, value in attrs if (tag, name) in LOADS]
        self.urls += [part for name, value in attrs if name == "srcset" for part in (value or "").split(",")]
        self.ids |= {value for name, value in attrs if name == "id" and value}


def _parsed(page: str) -> _Loaded:
    found = _Loaded()
    found.feed(page)
    return found


def _foreign(urls: list[str]) -> list[str]:
    return [url for url in urls if re.match(r"\s*(?:[a-z]+:)?//", url)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = _build("--site-dir", str(folder))
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def _build(*more: str) -> subprocess.CompletedProcess[str]:
    """Run the command of `make docs` with more options."""
    bin_folder = Path(sys.executable).parent
    dry_run = subprocess.check_output(["make", "--dry-run", f"BIN={bin_folder}", "docs"], cwd=ROOT, text=True)
    [command] = [line for line in dry_run.splitlines() if "mkdocs build" in line]
    return subprocess.run([*command.split(), *more], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("[a](missing.md)", "missing.md"),
        ("[a](index.md#no-such-heading)", "#no-such-heading"),
        ("[a](/index.md)", "absolute link"),
    ],
)
def test_a_broken_link_stops_the_build(page: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n{page}\n")
    built = _build_small(tmp_path)
    assert built.returncode == 1
    assert named in built.stderr


def test_a_page_that_the_navigation_lacks_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n")
    built = _build_small(tmp_path)
    assert built.returncode == 1
    assert "other.md" in built.stderr


def _build_small(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a site of few pages with this project's settings."""
    (folder / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\nhooks: []\nnav: [index.md]\nsite_dir: site\n"
    )
    return _build("--config-file", str(folder / "mkdocs.yml"))


def test_resources_of_another_host_are_found() -> None:
    page = '<script src="https://a.example/x.js"></script><img srcset="b.png, //b.example/b.png 2x"><a href="https://c">'
    assert _foreign(_parsed(page).urls) == ["https://a.example/x.js", " //b.example/b.png 2x"]


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    assert len(pages) > 50
    assert {
        page.name: found for page in pages if (found := _foreign(_parsed(page.read_text("utf-8")).urls))
    } == {}


def test_no_stylesheet_loads_anything_from_another_host(site: Path) -> None:
    sheets = [*site.rglob("*.css")]
    assert sheets
    for sheet in sheets:
        loaded = re.findall(r"(?:url\(\s*['\"]?|@import\s+['\"])(?:[a-z]+:)?//.*", sheet.read_text("utf-8"))
        assert not loaded, sheet


def _pages() -> Iterator[str]:
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").as_posix()
        if name != "decisions/template.md":
            yield re.sub(r"(README)?\.md$", lambda found: "index.html" if found[1] else ".html", name)


@pytest.mark.parametrize("page", sorted({*_pages(), "index.html", "changelog.html", "contributing.html"}))
def test_every_page_is_on_the_site(page: str, site: Path) -> None:
    assert "<h1" in (site / page).read_text("utf-8")


@pytest.mark.parametrize("model", sorted(path.parent.name for path in ROOT.glob("models/*/README.md")))
def test_every_model_has_its_card_on_the_site(model: str, site: Path) -> None:
    assert "<h1" in (site / "reference" / "models" / f"{model}.html").read_text("utf-8")
