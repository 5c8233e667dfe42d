"""The dashboard's process stays small: pages read figures, and an engine for data is loaded for an action."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"duckdb", "ibis", "pandas", "scipy.stats", "tastemaker.experiments.lifecycle.store"}


@pytest.mark.processes
def test_the_pages_load_no_engine_for_data() -> None:
    code = "import sys, tastemaker.dashboard.app, tastemaker.dashboard.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) & HEAVY == set()
