"""`tastemaker demo`: the whole road once, on a shop that is made up."""

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

import click

from tastemaker.errors import TastemakerError
from tastemaker.files import appearing

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.workspace import Workspace

STARTUP_SECONDS = 120
"""The ranker's service imports Feast and LightGBM, which takes a while on a cold disk."""


@click.command()
@click.option(
    "--requests", default=500, show_default=True, type=click.IntRange(1, 100_000), help="Answers to ask for."
)
def demo(requests: int) -> None:
    """A simulated shop, all the way: data, gate, features, models, leaderboard, service, log, drift.

    It lives in the home folder (.tastemaker, or TASTEMAKER_HOME). Running it again does only what changed.

    \b
    Examples:
      tastemaker demo
      TASTEMAKER_HOME=/tmp/shop tastemaker demo --requests 2000
    """
    from rich.console import Console

    console = Console(highlight=False)
    workspace = _workspace()
    started = time.monotonic()
    console.rule("[bold]1. From raw events to a champion", align="left")
    _run(workspace, console)
    console.rule("[bold]2. Who is best, and is it sure?", align="left")
    _leaderboard(workspace, console)
    console.rule("[bold]3. Served and logged", align="left")
    _serve(workspace, console, requests)
    console.rule("[bold]4. What was served, against what was learned", align="left")
    _run(workspace, console, "key:served_requests or key:drift_report")
    _where_to_look(workspace, console, time.monotonic() - started)


def _workspace() -> Workspace:
    """The simulated shop, whatever tastemaker.toml says, with the problem file in the home folder."""
    from tastemaker.settings import SourceSettings, load_settings
    from tastemaker.workspace import Workspace

    home = load_settings().home
    problem = home / "problem.yaml"
    if not problem.exists():
        from importlib.resources import files

        with appearing(problem) as partial:
            partial.write_bytes((files("tastemaker.simulator") / "problem.yaml").read_bytes())
    return Workspace(load_settings(source=SourceSettings(name="simulated"), problem=problem))


def _run(workspace: Workspace, console: Console, select: str | None = None) -> None:
    from tastemaker_pipelines.cli.run import carry_out

    if not carry_out(workspace, console, select).success:
        sys.exit(1)


def _environment(workspace: Workspace) -> dict[str, str]:
    settings = workspace.settings
    return os.environ | {
        "TASTEMAKER_HOME": str(settings.home.resolve()),
        "TASTEMAKER_PROBLEM": str(settings.problem.resolve()),
        "TASTEMAKER_SOURCE__NAME": "simulated",
    }


def _leaderboard(workspace: Workspace, console: Console) -> None:
    from tastemaker.evaluation.leaderboard import Leaderboard
    from tastemaker.evaluation.terminal import show

    board = Leaderboard.load(workspace.engine, workspace.problem, workspace.settings.artifacts)
    show(board, console, brief=True)


def _serve(workspace: Workspace, console: Console, requests: int) -> None:
    users = workspace.dataset().user_ids
    # Known users at even steps, and a stranger at the end: everyone gets an answer.
    step = max(len(users) // requests, 1)
    asked = [*users.decode(range(0, len(users), step))[: requests - 1], "a stranger"]
    with _service(workspace, console) as url, console.status("asking"):
        answers = [_ask(url, user_id) for user_id in asked]
    first = answers[0]
    console.print(f"[bold]POST /recommend[/] {json.dumps({'user_id': asked[0], 'k': 10})}")
    console.print_json(json.dumps({**first, "items": first["items"][:3]}))
    models = {f"{answer['model']}{' (fallback)' if answer['fallback'] else ''}" for answer in answers}
    console.print(
        f"{len(answers):,} users got 10 items each, from {', '.join(sorted(models))}; the rest is not shown."
    )


@contextmanager
def _service(workspace: Workspace, console: Console) -> Iterator[str]:
    """The champion, served on a free port for as long as the block lasts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = workspace.settings.home / "service.log"
    command = [sys.executable, "-m", "tastemaker.cli.main", "serve", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=_environment(workspace), stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        with console.status("starting the champion's BentoML service"):
            _wait(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


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


def _ask(url: str, user_id: str) -> dict[str, Any]:
    body = json.dumps({"user_id": user_id, "k": 10}).encode()
    request = urllib.request.Request(f"{url}/recommend", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _where_to_look(workspace: Workspace, console: Console, seconds: float) -> None:
    console.rule(f"[bold]Done in {seconds:.0f} s", align="left")
    reports = workspace.settings.reports
    for page in sorted(reports.rglob("*.html")):
        console.print(f"  {page}")
    home, problem = workspace.settings.home, workspace.settings.problem
    console.print(
        f"\nNext, with TASTEMAKER_HOME={home} TASTEMAKER_PROBLEM={problem}:\n"
        "  tastemaker leaderboard         every metric of every model\n"
        "  tastemaker frame --show        the problem as mathematics\n"
        "  tastemaker models list         what is installed\n"
        "  tastemaker serve popularity    any model, by name\n"
        f"  DAGSTER_HOME={home.resolve() / 'dagster'} dagster dev    the asset graph"
    )
