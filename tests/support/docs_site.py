"""The documentation's site, built as `make docs` builds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.repository import ROOT
from support.worker_sharing import made_once


def build(*more: str) -> subprocess.CompletedProcess[str]:
    """Run the command of `make docs` with more options."""
    folder = Path(sys.executable).parent
    dry_run = subprocess.check_output(["make", "--dry-run", f"BIN={folder}", "docs"], cwd=ROOT, text=True)
    [command] = [line for line in dry_run.splitlines() if "mkdocs build" in line]
    return subprocess.run([*command.split(), *more], cwd=ROOT, capture_output=True, text=True, check=False)


def built_once(factory: pytest.TempPathFactory) -> Path:
    """The built site, which all tests read."""
    return made_once(factory, "docs-site", _build_into)


def _build_into(folder: Path) -> None:
    built = build("--site-dir", str(folder))
    assert built.returncode == 0, built.stdout + built.stderr
