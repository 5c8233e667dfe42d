"""Prometheus' own tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from support.servers import not_installed


def run_promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; skip the test, or in CI fail, where it is not installed."""
    return _run("promtool", "prometheus", *arguments)


def run_amtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run amtool; skip the test, or in CI fail, where it is not installed."""
    return _run("amtool", "prometheus-alertmanager", *arguments)


def _run(name: str, package: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    found = shutil.which(name)
    if found is None:
        not_installed(f"{name} (Debian: {package})")
    return subprocess.run([found, *map(str, arguments)], capture_output=True, text=True)
