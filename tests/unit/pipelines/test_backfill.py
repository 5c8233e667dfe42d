"""Backfills: which days one run validates, several processes at once, and what the command makes of them."""

from __future__ import annotations

import json
import subprocess
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from support import small_shop
from tastemaker.util.file_lock import file_lock
from tastemaker_pipelines.backfill import parallel
from tastemaker_pipelines.backfill.day_ranges import DayRange, day_ranges
from tastemaker_pipelines.cli import backfill as command
from tastemaker_pipelines.cli import run as run_command
from tastemaker_pipelines.run import Step

FIRST = date(2025, 1, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=30), st.integers(1, 120))
def test_ranges_hold_all_pending_days_and_no_other(days: list[tuple[int, bool]], most: int) -> None:
    landed = [day(2 * n) for n in range(len(days))]  # days without events are not landed
    pending = {one: rows for one, (rows, is_pending) in zip(landed, days, strict=True) if is_pending}
    ranges = day_ranges(landed, pending, most)
    covered = [one for found in ranges for one in landed if found.first <= one <= found.last]
    assert covered == list(pending)
    assert sum(found.rows for found in ranges) == sum(pending.values())
    assert all(found.rows <= most or found.days == 1 for found in ranges)


@pytest.mark.processes
def test_a_failed_or_killed_run_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = {day(0): "exit 0", day(1): "kill -9 $$", day(2): "echo no disk >&2; exit 1", day(3): "exit 0"}
    popen = subprocess.Popen

    def started(words: list[str], **options: Any) -> Any:
        return popen(["sh", "-c", scripts[date.fromisoformat(words[3])]], **options)

    monkeypatch.setattr(subprocess, "Popen", started)
    ended: dict[date, str] = {}
    ranges = [DayRange(one, one, 1, 1) for one in scripts]
    problems = parallel.run_ranges(ranges, 2, lambda one, problem: ended.update({one.first: problem}))
    assert ended == {
        day(0): "", day(1): "its process was ended by signal 9", day(2): "no disk", day(3): "",
    }  # fmt: skip
    assert sorted(problems) == [f"{day(n)} to {day(n)}: {ended[day(n)]}" for n in (1, 2)]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command does, in place of the graph: selections and ranges."""
    made: list[Any] = []

    def carry_out(workspace: object, console: object, select: str | None, config: Any, *, reason: str) -> Any:
        assert reason == "backfill of 2025-01-01 to 2025-01-31"
        made.append((select, config["ops"]["landed_events"]["config"]))
        return SimpleNamespace(success=True, trained=("ials",), steps={})

    (tmp_path / "problem.yaml").write_text(small_shop.PROBLEM)
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(tmp_path / "problem.yaml"))
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    (tmp_path / "lake").mkdir()
    monkeypatch.setattr(run_command, "carry_out", carry_out)

    def run_ranges(ranges: list[DayRange], workers: int, on_end: object) -> list[str]:
        made.append(ranges)
        return []

    monkeypatch.setattr(parallel, "run_ranges", run_ranges)
    return made


DAYS = ["--from", "2025-01-01", "--to", "2025-01-31"]
CONFIG = {"force": False, "start": "2025-01-01", "end": "2025-01-31"}


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_days_are_landed_validated_and_what_depends_on_them_is_made(
    runs: int, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = [DayRange(day(n), day(n), 1, 7) for n in range(runs)]
    monkeypatch.setattr(command, "_pending", lambda *_: ranges)
    result = CliRunner().invoke(command.backfill, [*DAYS, "--json"])
    assert result.exit_code == 0, result.output
    processes = [ranges] if runs > 1 else []  # what fits into one process needs no others
    assert calls == [("key:landed_events", CONFIG), *processes, (None, CONFIG)]
    found = json.loads(result.stdout)
    assert (found["success"], found["days"], found["rows"], found["trained"]) == (
        True,
        runs,
        7 * runs,
        ["ials"],
    )


def test_nothing_is_published_while_a_run_failed(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = [DayRange(day(n), day(n), 1, 7) for n in range(2)]
    monkeypatch.setattr(command, "_pending", lambda *_: ranges)
    monkeypatch.setattr(parallel, "run_ranges", lambda ranges, workers, on_end: ["2025-01-02: no disk"])
    result = CliRunner().invoke(command.backfill, DAYS)
    assert result.exit_code == 1
    assert "failed: 2025-01-02: no disk" in result.output
    assert calls == [("key:landed_events", CONFIG)]


def test_the_json_says_which_step_failed_and_why(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {"landed_events": Step("landed_events", "failed", problem="the source has none of the days")}
    failed = SimpleNamespace(success=False, trained=None, steps=steps)
    monkeypatch.setattr(run_command, "carry_out", lambda *_, **__: failed)
    result = CliRunner().invoke(command.backfill, [*DAYS, "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"] == ["landed_events: the source has none of the days"]


def test_two_backfills_at_once_are_refused(calls: list[Any], tmp_path: Path) -> None:
    with file_lock(tmp_path / "lake" / ".backfill.lock"):
        result = CliRunner().invoke(command.backfill, DAYS)
    assert "another backfill" in str(result.exception)
    assert calls == []


def test_a_period_that_ends_before_it_begins_is_refused(calls: list[Any]) -> None:
    result = CliRunner().invoke(command.backfill, ["--from", "2025-02-01", "--to", "2025-01-01"])
    assert "is after" in str(result.exception)
    assert calls == []
