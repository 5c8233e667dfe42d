"""README.md fits one screen, and its notebook lines print what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
