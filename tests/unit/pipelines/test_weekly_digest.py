"""The schedule of the weekly digest, and its job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from support.digest_weeks import WEEK, usual_shop, write
from support.scripted_http import Answer, ScriptedServer
from tastemaker.framing.answers import to_problem
from tastemaker.problem.writing import write_problem
from tastemaker.settings import Settings
from tastemaker_pipelines.monitoring import weekly_digest as module
from tastemaker_pipelines.resources import LazyWorkspace

MONDAY = datetime(2026, 11, 23, 7, 0, tzinfo=ZoneInfo("Europe/Berlin"))


class StoppedClock(datetime):
    """A clock that stands at MONDAY."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return MONDAY.astimezone(tz)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as found:
        yield found


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> LazyWorkspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "datetime", StoppedClock)
    problem = to_problem({})
    write_problem(problem, tmp_path / "problem.yaml")
    hook = {"type": "webhook", "url": server.url}
    settings = {
        "home": tmp_path,
        "source": {"timezone": "Europe/Berlin"},
        "watch": {"channels": {"hook": hook}},
    }
    found = LazyWorkspace(Settings.model_validate(settings))
    write(found.open().engine, *({**row, "problem": problem.name} for row in usual_shop()))
    return found


def tick(workspace: LazyWorkspace, at: datetime) -> Any:
    """Return what the schedule says at a time."""
    schedule = module.weekly_digest_schedule(workspace)
    context = dg.build_schedule_context(scheduled_execution_time=at, resources={"workspace": workspace})
    return schedule(context)


def test_it_ticks_on_monday_from_seven_in_the_shops_time_zone(workspace: LazyWorkspace) -> None:
    schedule = module.weekly_digest_schedule(workspace)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 7-23 * * 1", "Europe/Berlin")


@pytest.mark.slow
def test_it_runs_until_every_channel_has_the_digest(workspace: LazyWorkspace, server: ScriptedServer) -> None:
    server.script(Answer(503))
    assert isinstance(tick(workspace, MONDAY), dg.RunRequest)
    failed = module.weekly_digest.execute_in_process(resources={"workspace": workspace}, raise_on_error=False)
    assert not failed.success
    assert isinstance(tick(workspace, MONDAY.replace(hour=8)), dg.RunRequest)
    assert module.weekly_digest.execute_in_process(resources={"workspace": workspace}).success
    skipped = tick(workspace, MONDAY.replace(hour=9))
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == f"the digest {WEEK.name} was sent to hook"
    assert len(server.received) == 2
