"""Whatever becomes of a test, its processes end and their pipes are closed."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from support.child_processes import ended

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("of_its_own", [True, False])
def test_a_process_ends_with_the_test_that_failed(of_its_own: bool) -> None:
    words = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=of_its_own)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    with pytest.raises(RuntimeError, match="the test"), ended(process):
        raise RuntimeError("the test failed")
    assert process.returncode == -signal.SIGKILL
    assert process.stdout.closed
