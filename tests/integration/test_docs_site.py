"""The documentation's site: built strictly, complete, and without anything from another host."""

from __future__ import annotations

import html
import re
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.metadata import entry_points
from pathlib import Path

import click
import pyarrow as pa
import pytest
from pydantic import BaseModel

import tastemaker
from support.docs_site import build, built_once
from support.repository import ROOT
from tastemaker import plugins
from tastemaker.cli.main import cli
from tastemaker.data import tables
from tastemaker.serving.http.routes import ROUTES
from tastemaker.settings import Settings
from tastemaker.storage.tables import metadata

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
    return built_once(tmp_path_factory)


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
    return build("--config-file", str(folder / "mkdocs.yml"))


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


def _reference(site: Path, name: str) -> str:
    return (site / "reference" / f"{name}.html").read_text("utf-8")


def _settings(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    """Environment variables of all settings, found without the code that writes the page."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from _settings(f"{prefix}{name.upper()}__", section)
        else:
            yield f"{prefix}{name.upper()}"


def test_every_setting_is_on_its_page(site: Path) -> None:
    variables = set(_settings("TASTEMAKER_", Settings))
    assert {"TASTEMAKER_HOME", "TASTEMAKER_SERVING__MODEL_TIMEOUT_SECONDS"} <= variables
    page = _reference(site, "settings")
    assert {name for name in variables if f"<code>{name}</code>" not in page} == set()


def test_a_setting_has_its_type_limits_default_and_meaning(site: Path) -> None:
    page = _reference(site, "settings")
    [facts] = re.findall(r"<p><code>TASTEMAKER_RETRIEVAL__DIVERSITY</code>(.*)</p>", page)
    assert facts == " · number · at least 0 · at most 1 · default <code>0.0</code>"
    meaning = Settings.model_json_schema()["$defs"]["RetrievalSettings"]["properties"]["diversity"][
        "description"
    ]
    assert f"<p>{meaning}</p>" in page


def test_every_command_and_option_is_on_its_page(site: Path) -> None:
    page = html.unescape(_reference(site, "cli"))
    names = sorted(entry.name for entry in entry_points(group="tastemaker.commands"))
    assert "leaderboard" in names
    for name in names:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parts = {name: command}
        if isinstance(command, click.Group):
            parts |= {f"{name} {key}": one for key, one in command.commands.items()}
        for full, one in parts.items():
            section = page.partition(f'id="tastemaker-{full.replace(" ", "-")}"')[2].partition("<h")[0]
            assert section, full
            options = [text for part in one.params for text in part.opts if text.startswith("--")]
            hidden = {text for part in one.params if getattr(part, "hidden", False) for text in part.opts}
            assert [text for text in options if text not in section and text not in hidden] == [], full


def test_every_endpoint_and_message_is_on_its_page(site: Path) -> None:
    page = html.unescape(_reference(site, "http"))
    for route in ROUTES:
        assert f"<code>{route.method} {route.path}</code>" in page
        for message in (route.body, route.response):
            if message is not None:
                anchor = f'id="message-{message.__name__.lower()}"'
                section = page.partition(anchor)[2].partition("<h3")[0]
                for field in message.__struct_fields__:
                    assert f"<code>{field}</code>" in section, (message, field)


def test_every_table_and_column_is_on_its_page(site: Path) -> None:
    page = _reference(site, "tables")
    for table in metadata.sorted_tables:
        section = page.partition(f'id="database-{table.name}"')[2].partition("<h3")[0]
        assert [column.name for column in table.columns if f"<code>{column.name}</code>" not in section] == []
    schemas = {name: schema for name, schema in vars(tables).items() if isinstance(schema, pa.Schema)}
    assert {"EVENTS", "REQUESTS"} <= schemas.keys()
    for name, schema in schemas.items():
        for field in schema:
            meaning = (field.metadata or {}).get(b"description", b"").decode()
            assert f"<code>{field.name}</code>" in page, (name, field.name)
            assert meaning[:20].partition("'")[0] in page, (name, field.name)


def test_every_column_of_a_table_has_a_meaning(site: Path) -> None:
    rows = re.findall(
        r"<tr>\s*<td><code>(\w+)</code></td>\s*<td>.*?</td>\s*<td>(.*?)</td>", _reference(site, "tables")
    )
    assert len(rows) > 150
    assert [name for name, meaning in rows if not meaning.strip()] == []


@pytest.mark.parametrize("name", sorted({*tastemaker.__all__, *plugins.__all__} - {"__version__"}))
def test_every_public_name_is_on_a_page(name: str, site: Path) -> None:
    pages = _reference(site, "plugin-api") + _reference(site, "notebook-api")
    assert re.search(rf'<h\d id="tastemaker\.[a-z_.]+\.{name}"', pages), name


def test_every_fence_became_a_block(site: Path) -> None:
    """Also one with a note for the test that types its commands: nothing of a fence is left in the text."""
    for path in site.rglob("*.html"):
        text = re.sub(r"<(pre|code|script)\b.*?</\1>", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert "```" not in text, path
        assert "bash not typed" not in path.read_text("utf-8"), path
