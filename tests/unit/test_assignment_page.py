"""The page about assignment prints what it says."""

from __future__ import annotations

import doctest

from support.repository import ROOT


def test_every_block_is_executed() -> None:
    page = ROOT / "docs" / "explanation" / "assignment.md"
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted > 15
    assert found.failed == 0
