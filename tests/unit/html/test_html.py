"""The look of every page: what its head says, that text is escaped, and the index of a folder of reports."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from tastemaker.errors import TastemakerError
from tastemaker.html import Page, cell, facts, index, render, table
from tastemaker.html.shell import CREATED

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = '</title><script>alert("1")</script> & "quoted" {braces} 商店'
texts = st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="\ufffe\uffff"))


def page(title: str = "Board: shop", summary: str = "One is best.", made_at: datetime = NOON) -> Page:
    return Page(title, summary, "900 users evaluated", made_at, Markup("<p>body</p>"))


def parsed(document: str) -> ElementTree.Element:
    first, _, rest = document.partition("\n")
    assert first == "<!doctype html>"
    return ElementTree.fromstring(rest)


@given(texts, texts, texts, texts)
def test_whatever_the_texts_the_page_is_well_formed_and_says_them(
    title: str, summary: str, rows: str, inside: str
) -> None:
    body = table([inside], [[inside, Markup("<b>{}</b>").format(inside)]]) + facts({inside: inside})
    tree = parsed(render(Page(title, summary, rows, NOON, body)))
    assert tree.findtext("head/title") == title
    assert tree.findtext(".//h1") == title
    assert [one.text for one in tree.findall(".//p[@class='summary']")] == [
        line for line in summary.splitlines() if line.strip()
    ]
    assert (tree.findtext(".//p[@class='made']") or "").startswith(rows)
    assert [one.text for one in tree.findall(".//td")[:1]] == [inside or None]
    assert tree.find(".//script") is None


def test_characters_that_no_document_may_hold_are_replaced() -> None:
    tree = parsed(render(page("a\x00b\x1bc\ud800d\uffff")))
    assert tree.findtext(".//h1") == "a\ufffdb\ufffdc\ufffdd\ufffd"


def test_the_head_has_a_policy_that_lets_nothing_in_and_the_time_in_utc() -> None:
    east = timezone(timedelta(hours=5))
    tree = parsed(render(page(HOSTILE, made_at=NOON.astimezone(east))))
    policy = tree.find(".//meta[@http-equiv='Content-Security-Policy']")
    assert policy is not None
    assert (policy.get("content") or "").startswith("default-src 'none'; style-src 'sha256-")
    made = tree.find(f".//meta[@name='{CREATED}']")
    assert made is not None
    assert made.get("content") == "2026-03-01T12:00:00+00:00"
    assert "Made 2026-03-01 12:00 UTC" in (tree.findtext(".//p[@class='made']") or "")


def test_a_notebooks_cell_is_one_element_with_its_own_style() -> None:
    tree = ElementTree.fromstring(cell(Markup("<p>{}</p>").format(HOSTILE)))
    assert tree.get("class") == "tastemaker cell"
    assert tree.findtext("p") == HOSTILE


def listed(reports: Path) -> dict[str, tuple[str, str, str]]:
    """Link -> title, summary, and the line with rows and time."""
    tree = parsed((reports / "index.html").read_text("utf-8"))
    found = {}
    for item in tree.findall(".//li"):
        link = item.find("a")
        assert link is not None
        said = [one.text or "" for one in item.findall("p")]
        found[unquote(link.get("href") or "")] = (link.text or "", said[0] if said[1:] else "", said[-1])
    return found


def test_the_index_describes_each_page_the_newest_first(tmp_path: Path) -> None:
    names = ["board.html", "a #1 & 50%? <x>.html", "docs/deep.html"]
    (tmp_path / "docs").mkdir()
    for at, name in enumerate(names):
        (tmp_path / name).write_text(render(page(f"{HOSTILE} {at}", made_at=NOON + timedelta(hours=at))))
    (tmp_path / "other.html").write_bytes(b"<html><head><title>Of a\n library</title></head>\xff")
    (tmp_path / "none.html").write_text("no head at all")
    (tmp_path / ".board.html.xyz.html").write_text("half written")
    found = listed(index.rewrite(tmp_path).parent)
    assert list(found) == [*reversed(names), "none.html", "other.html"]
    assert found[names[0]] == (
        f"{HOSTILE} 0",
        "One is best.",
        "900 users evaluated; made 2026-03-01 12:00 UTC",
    )
    assert found["other.html"][0] == "Of a library"
    assert found["none.html"][0] == "none.html"


def test_the_index_forgets_what_was_deleted_and_takes_names_that_are_not_text(tmp_path: Path) -> None:
    for name in (b"gone.html", b"latin-\xe9.html"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("<p>")
    (tmp_path / "broken.html").symlink_to(tmp_path / "nowhere.html")
    assert len(listed(index.rewrite(tmp_path).parent)) == 2
    (tmp_path / "gone.html").unlink()
    assert [title for title, _, _ in listed(index.rewrite(tmp_path).parent).values()] == ["latin-\ufffd.html"]


def test_a_page_outside_the_folder_makes_no_index(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    index.include(tmp_path / "board.html", reports)
    assert not reports.exists()
    (reports / "sub").mkdir(parents=True)
    (reports / "sub" / "board.html").write_text(render(page()))
    index.include(reports / "sub" / "board.html", reports)
    assert list(listed(reports)) == ["sub/board.html"]


def test_a_plot_is_not_overwritten_by_its_page(tmp_path: Path) -> None:
    assert index.page_beside(tmp_path / "curve.png") == tmp_path / "curve.html"
    with pytest.raises(TastemakerError, match=r"curve\.html, but a plot is a PNG"):
        index.page_beside(tmp_path / "curve.html")


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    assert "tastemaker run" in index.rewrite(tmp_path).read_text()


def test_pages_written_at_the_same_time_are_all_listed(tmp_path: Path) -> None:
    def write(name: str) -> None:
        (tmp_path / name).write_text(render(page()))
        index.rewrite(tmp_path)

    threads = [threading.Thread(target=write, args=(f"{at}.html",)) for at in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(listed(tmp_path)) == 12


@pytest.mark.parametrize("timestamp", ["not a time", ""])
def test_a_page_without_its_time_has_that_of_its_file(tmp_path: Path, timestamp: str) -> None:
    path = tmp_path / "old.html"
    path.write_text(f"<head><meta name='{CREATED}' content='{timestamp}'></head>")
    os.utime(path, (0, 0))
    head = index.head_of(path)
    assert head is not None
    assert head.made_at == datetime(1970, 1, 1, tzinfo=UTC)
