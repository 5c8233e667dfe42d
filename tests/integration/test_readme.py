"""README.md fits one screen, its notebook lines print what it shows, and its leaderboard is today's."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.repository import ROOT

README = (ROOT / "README.md").read_text("utf-8")
MOST_LINES = 110


def test_it_fits_one_screen_and_names_the_commands_of_a_newcomer() -> None:
    assert len(README.splitlines()) <= MOST_LINES
    for command in ("make install", "make demo", "make test"):
        assert re.search(rf"^{command}\b", README, re.MULTILINE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_lines_print_what_it_shows(tmp_path: Path) -> None:
    [(code, shown)] = re.findall(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", README, re.DOTALL | re.MULTILINE
    )
    assert len([line for line in code.splitlines() if line]) <= 6
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert [line.rstrip() for line in ended.stdout.splitlines()] == shown.splitlines()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_its_leaderboard_is_what_the_code_draws(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "docs" / "draw_leaderboard.py"))
    script["draw"](tmp_path / "drawn.png")
    drawn, shown = (
        np.asarray(Image.open(path).convert("L"), np.int16)
        for path in (tmp_path / "drawn.png", script["PICTURE"])
    )
    assert drawn.shape == shown.shape
    different = np.count_nonzero(abs(drawn - shown) > 8)  # processors may round an edge's shade differently
    assert different < 100, "draw it again: python docs/draw_leaderboard.py"
