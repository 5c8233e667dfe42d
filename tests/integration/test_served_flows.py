"""Flows that a real Prefect server keeps while every process that runs them is killed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from support import small_shop
from support.child_processes import ended
from support.commands import BIN
from support.home_copies import copy_home
from support.rollout_homes import RolloutHome, traffic
from support.servers import free_port
from support.small_shop import finished
from tastemaker.privacy.erasure_requests import ErasureRequests
from tastemaker.registry import champion
from tastemaker.rollouts import store
from tastemaker.workflows.rollouts import steps
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run import Outcome

__all__ = ["finished"]
Finished = tuple[Workspace, Outcome]
pytestmark = pytest.mark.servers

WAIT_SECONDS = 150.0
PROMOTION = {"approval": True, "path": "rollout", "shadow_hours": 0.0, "step_hours": 1e-9}
USER = "customer-17850"
Found = TypeVar("Found")


@contextmanager
def started(home: Path, environment: dict[str, str], log: Path, *words: str) -> Iterator[None]:
    """Run a command of tastemaker in a session of its own; at the end, kill -9 it and all its children."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(BIN / "tastemaker"), *words],
            env=environment,
            cwd=home,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with ended(process):
        yield


def wait_for(look: Callable[[], Found | None], what: str, log: Path) -> Found:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if (found := look()) is not None:
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"no {what} within {WAIT_SECONDS:g} s:\n{log.read_text()[-4000:]}")


class PrefectPage:
    """What the page of a Prefect server asks its API."""

    def __init__(self, api: str) -> None:
        self._api = api

    def run(self, name: str, state: str) -> dict[str, Any] | None:
        """The run of this name, once it is in this state."""
        found = self._read("flow_runs/filter", {})
        return next((one for one in found if (one["name"], one["state_name"]) == (name, state)), None)

    def answer(self, run_id: str, **given: Any) -> str:
        """Fill in the form of a suspended run; returns what became of it."""
        status: str = self._read(f"flow_runs/{run_id}/resume", {"run_input": given})["status"]
        return status

    def _read(self, path: str, asked: dict[str, Any]) -> Any:
        return httpx.post(f"{self._api}/{path}", json=asked).raise_for_status().json()


def begun(finished: Finished, folder: Path) -> tuple[RolloutHome, int]:
    """A copy of a home that has run, its baseline as champion, and the rollout of a better version."""
    home = copy_home(finished[0].settings.home, folder / "home")
    workspace = Workspace(small_shop.settings(home, promotion=PROMOTION))
    first, second = (workspace.registry.newest(name) for name in ("popularity", "bought_again"))
    workspace.registry.make_champion(first, "it is the baseline", forced=False)
    rollout = steps.begin(workspace, second.id, "schedule", "the newest version")
    return RolloutHome(workspace, first, second), rollout.id


def test_flows_continue_after_every_kill(finished: Finished, tmp_path: Path) -> None:
    shop, rollout = begun(finished, tmp_path)
    workspace, settings = shop.workspace, shop.workspace.settings
    requests = ErasureRequests(settings)
    (settings.home / "notes.ndjson").write_text(f'"{USER}"\n')
    request = requests.enter(USER, actor="ada", reason="ticket 4711").number
    log, prefect_log, port = tmp_path / "flows.log", tmp_path / "prefect.log", free_port()
    environment = small_shop.environment(settings.home) | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": (api := f"http://127.0.0.1:{port}/api"),
        **{f"TASTEMAKER_PROMOTION__{name.upper()}": str(value) for name, value in PROMOTION.items()},
    }
    for name in ("PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK"):
        environment.pop(name, None)  # the commands themselves switch it off
    page, subject = PrefectPage(api), f"rollout {rollout}"

    def command(*words: str, output: Path = log) -> AbstractContextManager[None]:
        return started(settings.home, environment, output, "flows", *words)

    with command("server", "--port", str(port), output=prefect_log):
        wait_for(lambda: httpx.get(f"{api}/health").is_success or None, "Prefect server", prefect_log)
        with command("serve"):
            first = wait_for(lambda: page.run(subject, "Suspended"), "suspended rollout", log)
            wait_for(lambda: page.run(f"erasure {request}", "Suspended"), "suspended erasure", log)
        # killed while both wait; a person answers one on the page and one by a command
        assert page.answer(first["id"], approve=True, by=" ", reason="figures read") == "REJECT"
        assert page.answer(first["id"], approve=True, by="grace", reason="figures read") == "ACCEPT"
        requests.approve(request, actor="grace", reason="identity checked")
        with command("serve"):
            wait_for(lambda: page.run(subject, "Running"), "running rollout", log)
        # killed while it runs
        with command("serve"):
            wait_for(lambda: page.run(f"erasure {request}", "Completed"), "ended erasure", log)
            wait_for(lambda: page.run(subject, "Suspended"), "suspended rollout", log)
        # killed in the canary, whose steps the guard takes meanwhile
        assert store.read_rollout(workspace.engine, rollout).state == "canary"
        with traffic(shop) as users:
            for _ in workspace.experiments.get(f"rollout-{rollout}").design.steps:
                users.canary(f"rollout-{rollout}")
        with command("serve", "--poll", "1"):
            last = wait_for(lambda: page.run(subject, "Completed"), "ended rollout", log)
    assert last["id"] == first["id"], "the same run, whatever was killed"
    assert times_computed(log) == 1
    promoted = [one.version_id for one in champion.log(workspace.engine, workspace.problem.name)]
    assert promoted[-2:] == [shop.first.id, shop.second.id]
    ends = [one.state for one in store.read_changes(workspace.engine, rollout) if one.state == "promoted"]
    assert ends == ["promoted"]
    approved = [one for one in store.read_changes(workspace.engine, rollout) if one.actor == "grace"]
    assert [one.reason for one in approved] == ["figures read"]
    assert requests.get(request).state == "done"
    stored = [path for path in (tmp_path / "prefect").rglob("*") if path.is_file()]
    assert any(path.name == "prefect.db" for path in stored)
    assert [path for path in (*stored, log, prefect_log) if USER.encode() in path.read_bytes()] == []


def times_computed(log: Path) -> int:
    """How often the evidence of the rollout was computed."""
    lines = log.read_text().splitlines()
    return sum("Task run 'evidence-" in line and "Completed()" in line for line in lines)
