"""The demo's service in a process of its own, one question to it, and visits by the simulated users."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tastemaker.errors import TastemakerError

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.simulator.traffic.audience import TrafficMix
    from tastemaker.simulator.traffic.statistics import Summary
    from tastemaker.workflows.workspace import Workspace

AT_ONCE = 16
STARTUP_SECONDS = 120
"""The ranker's service imports Feast and LightGBM, which takes a while on a cold disk."""


@contextmanager
def service(workspace: Workspace, console: Console, command: str = "serve") -> Iterator[str]:
    """Serve the champion, or an experiment, on a free port while the block lasts.

    The service ends with this process, however it ends.

    Args:
        workspace: Of the demo's home.
        console: Shows that it starts.
        command: `serve`, or `control` for the services of an experiment.

    Yields:
        Its URL.
    """
    from tastemaker.serving.runtime.parent_process import SERVER

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = workspace.settings.home / "service.log"
    words = [sys.executable, "-m", "tastemaker.cli.main", command, "--port", str(port)]
    environment = os.environ | variables(workspace) | {SERVER: str(os.getpid())}
    with log.open("w") as output:
        process = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        with console.status(f"tastemaker {command} starts"):
            _wait(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def variables(workspace: Workspace) -> dict[str, str]:
    """Return the environment variables by which any command finds the demo's home, problem and shop."""
    settings = workspace.settings
    return {
        "TASTEMAKER_HOME": str(settings.home.resolve()),
        "TASTEMAKER_PROBLEM": str(settings.problem.resolve()),
        "TASTEMAKER_SOURCE__NAME": settings.source.name,
        "TASTEMAKER_SOURCE__OPTIONS": json.dumps(settings.source.options),
        "TASTEMAKER_SOURCE__ENDED": json.dumps(settings.source.ended),
    }


def ask(url: str, user_id: str) -> dict[str, Any]:
    """Request a list of ten items for a user, and return the answer.

    Args:
        url: The service's address, without a path.
        user_id: The user's id, as the shop has it.
    """
    body = json.dumps({"user_id": user_id, "k": 10}).encode()
    request = urllib.request.Request(f"{url}/recommend", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def visit(workspace: Workspace, url: str, visits: int, mix: TrafficMix) -> Summary:
    """Let the simulated users visit a service.

    Args:
        workspace: Of the demo's home.
        url: The service's address, without a path.
        visits: How many visits.
        mix: Which shares of the visits are anonymous or of bots, and the seed.

    Returns:
        What the users did and saw, and how fast the service was.
    """
    from tastemaker.simulator.traffic.plan import Plan
    from tastemaker.simulator.traffic.simulation import shop_of, simulate

    plan = Plan(run=uuid4().hex[:8], visits=visits, at_once=AT_ONCE)
    client_log = workspace.settings.home / "simulate" / f"{plan.run}.jsonl"
    return simulate(shop_of(workspace.settings.source), url, mix, plan, client_log)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1) as response:
                # A controller is ready before the services that it starts.
                if all(one["up"] for one in json.load(response).get("services", ())):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise TastemakerError(
        f"the service was not ready in {STARTUP_SECONDS} s; it last said: {log.read_text()[-500:].strip()}",
        fix=f"look at {log}",
    )
