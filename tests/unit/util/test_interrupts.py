"""A process that a script starts in the background can be ended after Dagster has run in it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from support.child_processes import ended

CODE = """
import time
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers
from tastemaker.util.interrupts import restore_interrupts
{restore}
with capture_interrupts():
    pass
print(flush=True)
time.sleep(600)
"""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("restore", "ends"),
    [("restore_interrupts()", True), ("setup_interrupt_handlers(); restore_interrupts()", True), ("", False)],
)
def test_sigterm_ends_a_background_job_once_interrupts_are_restored(restore: str, ends: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE.format(restore=restore)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    with ended(process):
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        if ends:
            assert process.wait(60) != 0
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
