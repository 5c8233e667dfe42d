"""What answers requests starts fast and stays small: nothing of the pipelines is imported with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "dagster",
    "great_expectations",
    "evidently",
    "pandas",
    "prefect",
    "feast",
    "duckdb",
    "pyarrow",
    "ibis",
    "sqlalchemy",
)


@pytest.mark.processes
@pytest.mark.slow
def test_the_serving_path_imports_nothing_heavy() -> None:
    code = f"""
import sys
import tastemaker.registry.artifact
import tastemaker.serving.http.gateway
import tastemaker.serving.inference.predictor
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert found == []
