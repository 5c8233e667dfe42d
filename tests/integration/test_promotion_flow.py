"""A promotion that waits for a person, against a real Prefect server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import small_shop
from support.servers import free_port
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run import run

pytestmark = pytest.mark.servers

START_SECONDS = 90


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        started = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(timeout=30)


def wait_for(answer: Any, what: str, log: Path) -> Any:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if found := answer():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"no {what} within {START_SECONDS} s:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a running server."""
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    environment = os.environ | {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "server.log"
    with process([*command, "--no-services"], environment, log):
        health = f"http://127.0.0.1:{port}/api/health"
        wait_for(lambda: httpx.get(health).is_success, "Prefect server", log)
        yield environment


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two versions of models that beat popularity or do not, and no champion."""
    settings = small_shop.settings(tmp_path_factory.mktemp("approval") / "home")
    assert run(
        settings, select="+key:models/bought_again or +key:models/random or +key:backtests/popularity"
    ).success
    return Workspace(settings)


def top_k(prefect: dict[str, str], workspace: Workspace, log: Path, **answer: Any) -> str:
    """Start the flow for bought_again, answer when it pauses, and return what it did."""
    version = workspace.registry.newest("bought_again")
    environment = prefect | small_shop.environment(workspace.settings.home)
    api = prefect["PREFECT_API_URL"]
    before = {one["id"] for one in httpx.post(f"{api}/flow_runs/filter", json={}).json()}

    def paused() -> str | None:
        runs = httpx.post(f"{api}/flow_runs/filter", json={}).raise_for_status().json()
        return next(
            (one["id"] for one in runs if one["id"] not in before and one["state_type"] == "PAUSED"), None
        )

    def resumed() -> bool:
        resumed = httpx.post(f"{api}/flow_runs/{run_id}/resume", json={"run_input": answer})
        if resumed.status_code == 503:  # its database was busy; Prefect's own client asks again too
            return False
        assert resumed.is_success, resumed.text
        return True

    command = [sys.executable, "-m", "tastemaker_pipelines.flows.approval", version.id]
    with process(command, environment, log) as flow:
        run_id = wait_for(paused, "paused flow run", log)
        wait_for(resumed, "server that takes the answer", log)
        assert flow.wait(timeout=60) == 0, log.read_text()
    return log.read_text()


def test_a_person_declines_and_another_approves(
    prefect: dict[str, str], workspace: Workspace, tmp_path: Path
) -> None:
    problem = workspace.problem.name
    said = top_k(prefect, workspace, tmp_path / "no.log", approve=False, reason="not before the sale")
    assert "declined: not before the sale" in said
    assert workspace.registry.champion(problem) is None
    said = top_k(prefect, workspace, tmp_path / "yes.log", approve=True, reason="the sale is over")
    assert "approved (the sale is over); bought_again - popularity in ndcg: +" in said
    champion = workspace.registry.champion(problem)
    assert champion is not None
    assert champion.model == "bought_again"


def test_no_approval_is_requested_for_a_version_that_does_not_win(
    prefect: dict[str, str], workspace: Workspace, tmp_path: Path
) -> None:
    version = workspace.registry.newest("random")
    done = subprocess.run(
        [sys.executable, "-m", "tastemaker_pipelines.flows.approval", version.id],
        env=prefect | small_shop.environment(workspace.settings.home),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode != 0
    assert "is not better than the baseline: random - popularity in ndcg" in done.stderr
