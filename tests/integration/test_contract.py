"""A served process keeps its OpenAPI document, whatever Schemathesis sends."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.bento_servers import running
from support.repository import ROOT
from support.served_homes import make_home
from tastemaker.serving.http.api_keys import add, changed

pytestmark = pytest.mark.servers

SCRIPT = ROOT / "benchmarks" / "contract.py"
CASES = 2_000


def test_two_thousand_cases_find_no_failure(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home, ["popularity"])
    with changed(home / "keys.json") as keys:
        secret = add(keys, "everything", ["recommend", "feedback", "manage"]).secret
    environment = {"TASTEMAKER_HOME": str(home), "BENTOML_HOME": str(tmp_path / "bentoml")}
    served = ["bentoml", "serve", "tastemaker_baselines.service:Popularity"]
    with running(served, tmp_path, environment) as client:
        command = [sys.executable, str(SCRIPT), str(client.base_url), "--key", secret, "--cases", str(CASES)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.search(r"([\d,]+) cases over \d+ operations, 0 failures", done.stdout)
    assert said
    assert int(said[1].replace(",", "")) >= CASES
    (log,) = tmp_path.glob("server-*.log")
    assert "request failed" not in log.read_text(), "a defect"
