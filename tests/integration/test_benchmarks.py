"""Every benchmark runs, in its smallest size, on today's code."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.repository import ROOT
from support.servers import not_installed

pytestmark = pytest.mark.servers

FOLDER = ROOT / "benchmarks"
RUN_ELSEWHERE = {"contract"}
"""test_contract.py runs it, in a larger size."""
BENCHMARKS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if "__main__" in path.read_text("utf-8") and path.stem not in RUN_ELSEWHERE
)
"""The other files are parts of these."""
LOADED_BY_WRK = {"controller", "logs", "serving"}
NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?|nan|inf)(?![\w.])", re.IGNORECASE)


def figures(said: str) -> list[float]:
    """The numbers that stand alone in a text, nan and inf among them."""
    return [float(number.replace(",", "")) for number in NUMBER.findall(said)]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_its_smoke_size_prints_finite_figures(name: str, tmp_path: Path) -> None:
    if name in LOADED_BY_WRK and shutil.which("wrk") is None:
        not_installed("wrk")
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), "--smoke"],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = figures(done.stdout)
    assert len(found) >= 5, done.stdout
    assert all(math.isfinite(figure) for figure in found), done.stdout


def test_a_figure_that_is_not_finite_is_seen() -> None:
    assert figures("12,345 req/s, p99 -0.5 ms, 1e-3, nan, (inf)")[:3] == [12345, -0.5, 0.001]
    assert not all(math.isfinite(figure) for figure in figures("p99 nan ms"))
    assert not all(math.isfinite(figure) for figure in figures("ratio -inf"))
