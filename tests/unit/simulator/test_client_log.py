"""The simulator's client log: what it holds after a crash, and what it says against a log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.simulator.traffic.audit import ClientEvents, check
from tastemaker.simulator.traffic.client_log import (
    Acknowledged,
    Answered,
    Begun,
    ClientLog,
    ClientLogError,
    Entry,
    GivenUp,
    read,
)

ENTRIES: list[Entry] = [
    Begun("run", "http://shop", 0),
    Answered("r1", "Ü", "model", ["a", "b"]),
    Answered("r2", None, "popular", []),
    Acknowledged(["run-0-0", "run-0-1"]),
    GivenUp(["run-1-0"], "no reply"),
]


def write(path: Path, entries: list[Entry]) -> None:
    with ClientLog(path) as client_log:
        for entry in entries:
            client_log.note(entry)


def test_entries_come_back_and_runs_add_up(tmp_path: Path) -> None:
    path = tmp_path / "a" / "client_log.jsonl"
    write(path, ENTRIES)
    write(path, ENTRIES[:1])
    assert list(read(path)) == [*ENTRIES, ENTRIES[0]]


def test_nothing_is_on_disk_before_a_flush_and_all_after_it(tmp_path: Path) -> None:
    path = tmp_path / "client_log.jsonl"
    with ClientLog(path) as client_log:
        client_log.note(ENTRIES[1])
        assert list(read(path)) == []
        client_log.flush()
        assert list(read(path)) == ENTRIES[1:2]
        client_log.flush()
    assert list(read(path)) == ENTRIES[1:2]


@given(cut=st.integers(0, 400))
def test_a_line_that_a_crash_cut_short_never_counted(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("client_log") / "client_log.jsonl"
    write(path, ENTRIES)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    assert list(read(path)) == ENTRIES[:kept]
    write(path, [ENTRIES[0]])
    assert list(read(path)) == [*ENTRIES[:kept], ENTRIES[0]]


@pytest.mark.processes
def test_a_killed_process_leaves_what_it_flushed(tmp_path: Path) -> None:
    path = tmp_path / "client_log.jsonl"
    program = """
import os, signal, sys
from pathlib import Path
from tastemaker.simulator.traffic.client_log import Acknowledged, ClientLog
client_log = ClientLog(Path(sys.argv[1]))
client_log.note(Acknowledged(["flushed"]))
client_log.flush()
client_log.note(Acknowledged(["only noted"]))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(path)], env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    assert list(read(path)) == [Acknowledged(["flushed"])]


def test_what_is_not_a_client_log_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "client_log.jsonl"
    path.write_text('{"type":"begun","run":"r","url":"","seed":1}\nhello\n')
    with pytest.raises(ClientLogError, match=r"client_log\.jsonl, line 2"):
        list(read(path))
    with pytest.raises(ClientLogError, match="No such file"):
        list(read(tmp_path / "absent"))
    with pytest.raises(ClientLogError, match="directory"):
        ClientLog(tmp_path)


def test_a_sound_log_is_found_sound() -> None:
    logged = [("r1", ["a", "b"]), ("r2", []), ("of another client", ["z"])]
    verdict = check(ClientEvents.of(ENTRIES), ["run-0-1", "run-0-0", "another-0-0", "another-0-0"], logged)
    assert verdict.sound
    assert (verdict.acknowledged, verdict.answered, verdict.late_truths) == (2, 2, 0)


def test_each_unsoundness_is_found() -> None:
    events = ["run-0-0", "run-0-0", "run-1-0", "run-7-0", "run-7-0"]
    verdict = check(ClientEvents.of(ENTRIES), events, [("r1", ["b", "a"]), ("r1", ["a", "b"])])
    assert verdict.lost_events == ["run-0-1"]
    assert verdict.doubled_events == ["run-0-0", "run-7-0"], "also what no reply was seen for"
    assert verdict.late_truths == 1
    assert verdict.lost_answers == ["r2"]
    assert verdict.doubled_answers == verdict.altered_answers == ["r1"]
    assert not verdict.sound
    assert not verdict.feedback_sound


def test_only_answers_may_be_lost_for_the_feedback_to_be_sound() -> None:
    verdict = check(ClientEvents.of(ENTRIES), ["run-0-0", "run-0-1"], [])
    assert verdict.feedback_sound
    assert not verdict.sound
