"""Which tests start processes: those that have the marker `processes` (or `servers`), and no others.

Everything outside of tests/unit and models/ has the marker, for it may start what it likes. A unit test that
starts a process without the marker fails, so that `make test-fast` stays what it is.
"""

from __future__ import annotations

import multiprocessing.process
import multiprocessing.util
import os
import sys
from collections.abc import Generator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.repository import ROOT

MARKERS = ("processes", "servers")
FREE = tuple(ROOT / "tests" / name for name in ("browser", "faults", "integration", "nightly"))
BRIEF = {"cc", "file", "gcc", "git", "ld", "ldconfig", "uname"}
"""Programs that libraries and the registry ask in milliseconds; any test may."""
EVENTS = {"os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"}
STARTED = "support.process_tier.started"
"""The audit event of a process that multiprocessing starts: Python has none for it."""

_started: set[str] = set()
"""The programs that the test which runs now has started."""


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """Note a program that is started. Audit hooks can't be removed, so this is all that it does."""
    if event in EVENTS or event == STARTED:
        program = str(arguments[0]) if arguments else event
        if Path(program).name not in BRIEF:
            _started.add(program)


def pytest_configure() -> None:
    """See every process that this one starts, by whatever library."""
    sys.addaudithook(_note)
    start = multiprocessing.process.BaseProcess.start

    def audited(self: multiprocessing.process.BaseProcess) -> None:
        sys.audit(STARTED, self.name)
        start(self)

    multiprocessing.process.BaseProcess.start = audited  # type: ignore[method-assign]
    spawn = multiprocessing.util.spawnv_passfds

    def audited_spawn(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        sys.audit(STARTED, os.fsdecode(path))
        return spawn(path, args, passfds)

    multiprocessing.util.spawnv_passfds = audited_spawn


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests outside of tests/unit and models/."""
    _started.clear()
    for item in items:
        if _is_free(item.path):
            item.add_marker(pytest.mark.processes)


@cache
def _is_free(path: Path) -> bool:
    """Return whether the tests of a file may start what they like; each file has many tests."""
    return any(path.is_relative_to(folder) for folder in FREE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that started a process and has no marker for it."""
    report = yield
    if _started and report.passed and not any(map(item.get_closest_marker, MARKERS)):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} started {', '.join(sorted(_started))} without a marker: "
            "mark the test, or its file, with pytest.mark.processes"
        )
    _started.clear()
    return report
