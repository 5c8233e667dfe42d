"""The page on the statistics of experiments: its code prints what it says, and each claim holds."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

from support.repository import ROOT
from tastemaker.experiments.unit_metrics import EVENTS_PER_USER, METRICS

DOCS = ROOT / "docs"
PAGE = DOCS / "explanation" / "experiment-statistics.md"


@pytest.fixture(scope="module")
def executed() -> tuple[str, dict[str, Any]]:
    execute = runpy.run_path(str(DOCS / "explanation" / "when_offline_lies.py"))["execute"]
    found: tuple[str, dict[str, Any]] = execute(PAGE.read_text("utf-8"), PAGE.name)
    return found


def test_the_page_says_what_its_code_prints(executed: tuple[str, dict[str, Any]]) -> None:
    assert executed[0] == PAGE.read_text("utf-8")


def test_its_claims_hold(executed: tuple[str, dict[str, Any]]) -> None:
    left = executed[1]
    decided = [one for one in left["verdicts"] if one != "equal"]
    assert len(decided) / len(left["verdicts"]) < 0.1
    raw, adjusted = left["raw"], left["adjusted"]
    assert adjusted.high - adjusted.low < 0.9 * (raw.high - raw.low)
    (slope,) = left["found"].details["slopes"]
    assert slope["low"] <= -0.3 <= slope["high"]


def test_the_reference_has_every_metric() -> None:
    page = (DOCS / "reference" / "metrics.md").read_text("utf-8")
    for name, metric in METRICS.items():
        assert f"| `{name}` |" in page
        better = {"up": "more", "down": "less"}[metric.direction]
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |") and "|" in line[3:]]
        assert row.endswith(f"| {better} |")
    assert f"| `{EVENTS_PER_USER}:TYPE` |" in page
