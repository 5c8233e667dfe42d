"""The page of the ML Test Score: its sums, its evidence, and a gap wherever a score is not 1."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from support.repository import ROOT

PAGE = ROOT / "docs" / "explanation" / "ml-test-score.md"
TEXT = PAGE.read_text("utf-8")
SCORES = {"0": Fraction(0), "½": Fraction(1, 2), "1": Fraction(1)}
SECTIONS = {"D": "Data", "M": "Model development", "I": "Infrastructure", "W": "Monitoring"}
ROWS = re.findall(r"^\| ([DMIW])(\d) \| ([^|]+) \| (0|½|1) \| (.+) \|$", TEXT, re.MULTILINE)


def test_all_28_tests_are_scored() -> None:
    assert [(section, int(number)) for section, number, *_ in ROWS] == [
        (section, number) for section in SECTIONS for number in range(1, 8)
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0] + row[1])
def test_evidence_exists_and_a_gap_is_named(row: tuple[str, ...]) -> None:
    score, evidence = SCORES[row[3]], row[4]
    files = re.findall(r"`((?:tests|models)/[\w/]+\.py)`", evidence)
    assert all((ROOT / file).is_file() for file in files), files
    assert bool(files) == (score > 0)
    assert ("Gap:" in evidence) == (score < 1)


def test_a_section_is_the_sum_of_its_rows_and_the_score_is_the_lowest() -> None:
    sums = {
        name: sum((SCORES[row[3]] for row in ROWS if row[0] == letter), Fraction(0))
        for letter, name in SECTIONS.items()
    }
    said = dict(re.findall(r"^\| ([A-Z][a-z ]+) \| ([\d½]+) \|$", TEXT, re.MULTILINE))
    assert {name: number(text) for name, text in said.items()} == sums
    (lowest,) = re.findall(r"The score of the platform is ([\d½]+), the lowest", TEXT)
    assert number(lowest) == min(sums.values())


def number(text: str) -> Fraction:
    return sum((SCORES["½"] if sign == "½" else Fraction(sign) for sign in text), Fraction(0))
