"""A test that starts a process without a marker fails, by whatever way it starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.repository import ROOT

TESTS = {
    "multiprocessing.get_context('spawn').Lock()": "failed",  # the first one starts a tracker of resources
    "subprocess.run([sys.executable, '-c', ''])": "failed",
    "os.fork() or os._exit(0)": "failed",
    "os.posix_spawn('/bin/true', ['true'], {})": "failed",
    "os.system('true')": "failed",
    "p = multiprocessing.get_context('spawn').Process(target=print); p.start(); p.join()": "failed",
    "p = multiprocessing.get_context('fork').Process(target=print); p.start(); p.join()": "failed",
    "subprocess.run(['git', '--version'])": "passed",
    "t = threading.Thread(target=print); t.start(); t.join()": "passed",
}
"""What a test does -> how it ends without a marker."""
OUTCOME = re.compile(r"^(PASSED|FAILED) test_them.py::(\w+)", re.MULTILINE)


@pytest.mark.processes
def test_unmarked_tests_that_start_a_process_fail(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["support.process_tier"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  processes\n  servers\n")
    lines = ["import multiprocessing, os, subprocess, sys, threading, pytest"]
    for n, body in enumerate(TESTS):
        lines += [f"def test_unmarked_{n}():\n    {body}"]
        lines += [f"@pytest.mark.processes\ndef test_marked_{n}():\n    {body}"]
    (tmp_path / "test_them.py").write_text("\n\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
    )
    found = {name: outcome.lower() for outcome, name in OUTCOME.findall(done.stdout)}
    expected = {f"test_unmarked_{n}": outcome for n, outcome in enumerate(TESTS.values())}
    assert found == expected | {f"test_marked_{n}": "passed" for n in range(len(TESTS))}, done.stdout
    assert "without a marker: mark the test, or its file, with pytest.mark.processes" in done.stdout
