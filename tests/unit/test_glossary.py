"""The glossary: sorted entries, each with an existing symbol and an existing page."""

from __future__ import annotations

import re
from pkgutil import resolve_name
from typing import NamedTuple

import pytest

from support.repository import ROOT

DOCS = ROOT / "docs"


class Entry(NamedTuple):
    """A term of the glossary."""

    term: str
    text: str
    symbol: str
    page: str


def read_entries() -> list[Entry]:
    found = []
    for part in (DOCS / "glossary.md").read_text("utf-8").split("\n### ")[1:]:
        term, _, body = part.strip().partition("\n")
        *text, last = body.split("\n")
        link = re.fullmatch(r"`([\w.]+)` · \[[^]]+\]\(([^)#]+)\)", last)
        assert link, f"{term} does not end with its symbol and page: {last}"
        found.append(Entry(term, " ".join(text), link[1], link[2]))
    return found


ENTRIES = read_entries()


def test_at_least_forty_terms_are_sorted() -> None:
    terms = [entry.term.casefold() for entry in ENTRIES]
    assert len(terms) >= 40
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.term.replace(" ", "_") for entry in ENTRIES])
def test_symbol_and_page_exist(entry: Entry) -> None:
    resolve_name(entry.symbol)
    assert (DOCS / entry.page).is_file()


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.term.replace(" ", "_") for entry in ENTRIES])
def test_entries_have_one_to_three_sentences(entry: Entry) -> None:
    sentences = re.findall(r"[.](?= [A-Z`]|$)", entry.text)
    assert 1 <= len(sentences) <= 3
    assert entry.text.endswith(".")
