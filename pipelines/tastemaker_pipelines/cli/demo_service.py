"""The demo's prediction service: the champion in a process of its own, and one question to it."""

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

from tastemaker.errors import TastemakerError

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.workflows.workspace import Workspace

STARTUP_SECONDS = 120
"""The ranker's service imports Feast and LightGBM, which takes a while on a cold disk."""


@contextmanager
def service(workspace: Workspace, console: Console) -> Iterator[str]:
    """Serve the champion on a free port while the block lasts, and yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = workspace.settings.home / "service.log"
    command = [sys.executable, "-m", "tastemaker.cli.main", "serve", "--port", str(port)]
    environment = os.environ | variables(workspace)
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        with console.status("starting the champion's BentoML service"):
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
    }


def ask(url: str, user_id: str) -> dict[str, Any]:
    """Request a list of ten items for a user, and return the answer."""
    body = json.dumps({"user_id": user_id, "k": 10}).encode()
    request = urllib.request.Request(f"{url}/recommend", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise TastemakerError(
        f"the service was not ready in {STARTUP_SECONDS} s; it last said: {log.read_text()[-500:].strip()}",
        fix=f"look at {log}",
    )
