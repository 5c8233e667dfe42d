"""A child that dies is started again, ever more slowly if it dies soon; what is not wanted is stopped."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest

from support.experiment_plans import SERVICES, experiment, plan_of
from tastemaker.controller import pinned_servers
from tastemaker.controller.kept_process import MAX_RESTART_SECONDS, SOUND_SECONDS, KeptProcess
from tastemaker.controller.pinned_servers import PinnedServers
from tastemaker.errors import TastemakerError
from tastemaker.experiments import plan_file
from tastemaker.experiments.plan_file import PlanFile, write_plan


class Child:
    """A process that a test ends."""

    pid = 1

    def __init__(self) -> None:
        self.status: int | None = None
        self.signals: list[str] = []

    def poll(self) -> int | None:
        return self.status

    def terminate(self) -> None:
        self.signals.append("terminate")

    def kill(self) -> None:
        self.signals.append("kill")
        self.status = -9

    def wait(self, seconds: float | None = None) -> int:
        if self.status is None:
            self.status = 0
        return self.status


class Children:
    """Starts children, or fails as a test says."""

    def __init__(self) -> None:
        self.started: list[Child] = []
        self.error: Exception | None = None

    def __call__(self, *_: object) -> subprocess.Popen[bytes]:
        if self.error is not None:
            raise self.error
        self.started.append(Child())
        return cast("subprocess.Popen[bytes]", self.started[-1])


def test_one_that_ran_soundly_is_started_again_at_once() -> None:
    children = Children()
    kept = KeptProcess("a child", children)
    kept.keep(0.0)
    children.started[0].status = -9
    kept.keep(SOUND_SECONDS + 1)
    assert len(children.started) == 2


def test_one_that_dies_at_its_start_is_started_ever_more_slowly() -> None:
    children = Children()
    kept = KeptProcess("a child", children)
    now, starts = 0.0, list[float]()
    while now < 200:
        before = len(children.started)
        kept.keep(now)
        if len(children.started) > before:
            starts.append(now)
            children.started[-1].status = 1
        now += 0.25
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses[0] <= 1, "within a second"
    assert pauses == sorted(pauses)
    assert max(pauses) <= MAX_RESTART_SECONDS + 0.5


@pytest.mark.parametrize("error", [OSError("no memory"), TastemakerError("no service.py", fix="write it")])
def test_one_that_can_not_be_started_is_tried_again(error: Exception) -> None:
    children = Children()
    children.error = error
    kept = KeptProcess("a child", children)
    kept.keep(0.0)
    children.error = None
    kept.keep(1.0)
    assert len(children.started) == 1


def test_one_that_does_not_end_when_asked_is_killed() -> None:
    children = Children()
    kept = KeptProcess("a child", children)
    kept.keep(0.0)
    assert not kept.leave(1.0)
    assert not kept.leave(5.0)
    assert not kept.leave(12.0)
    assert kept.leave(12.5)
    assert children.started[0].signals == ["terminate", "kill"]


def test_services_come_and_go_with_the_plan_and_the_guard_with_experiments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_file, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(pinned_servers, "LEAVE_SECONDS", -1.0)
    path = tmp_path / "plan.json"
    services, guards = Children(), Children()
    write_plan(path, plan_of(services=SERVICES[:1], default="champion"))
    servers = PinnedServers(PlanFile(path), services, guards)
    assert (len(services.started), len(guards.started)) == (1, 0)
    write_plan(path, plan_of(experiment("flag"), services=SERVICES[1:], default="challenger"))
    servers.look()
    assert (len(services.started), len(guards.started)) == (2, 1)
    assert services.started[0].signals == ["terminate"]
    servers.close()
    assert services.started[1].signals == guards.started[0].signals == ["terminate"]
