"""Pages of decisions have one form of heading, and the index lists each."""

from __future__ import annotations

import re
from datetime import date

import pytest

from support.repository import ROOT

FOLDER = ROOT / "docs" / "decisions"
PAGES = sorted(path.name for path in FOLDER.glob("[0-9]*.md"))
ROW = re.compile(
    r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+) \| (accepted|superseded by \d{4}) \| (\d{4}-\d\d-\d\d) \|$"
)


@pytest.mark.parametrize("page", PAGES)
def test_the_heading_has_the_number_and_the_index_has_the_page(page: str) -> None:
    heading = re.match(r"# (\d{4}) (\S.*)\n", (FOLDER / page).read_text("utf-8"))
    assert heading is not None, f"{page}: the first line must be '# {page[:4]} Title'"
    assert heading[1] == page[:4]
    text = (FOLDER / page).read_text("utf-8")
    assert "**Decision.**" in text, f"{page}: see docs/decisions/template.md"
    assert re.search(r"^\W*Undo\b", text, re.MULTILINE), f"{page}: see docs/decisions/template.md"
    rows = [
        row for line in (FOLDER / "README.md").read_text("utf-8").splitlines() if (row := ROW.match(line))
    ]
    found = [row for row in rows if row[2] == page]
    assert len(found) == 1, (
        f"README.md needs: | [{page[:4]}]({page}) | {heading[2]} | accepted | {date.today()} |"
    )
    assert (found[0][1], found[0][3]) == heading.groups()
    date.fromisoformat(found[0][5])


def test_the_index_is_sorted_and_lists_nothing_else() -> None:
    lines = [
        line for line in (FOLDER / "README.md").read_text("utf-8").splitlines() if line.startswith("| [")
    ]
    rows = [ROW.match(line) for line in lines]
    assert None not in rows
    assert [row[2] for row in rows if row is not None] == PAGES


def test_numbers_are_used_once() -> None:
    numbers = [page[:4] for page in PAGES]
    assert len(set(numbers)) == len(numbers)
