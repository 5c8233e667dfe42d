"""`tastemaker demo`: the whole road, and once around again, on a shop that is made up."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.registry import Version
    from tastemaker.simulator.traffic.statistics import Summary
    from tastemaker.workflows.workspace import Workspace

BANDIT = "thompson"
DELAY_SECONDS = 2.0
"""What a list earns within this time, the bandit learns at once: simulated people answer right away."""
AGAIN = ("popularity", "bought_again", "ials", "ranker")
"""What is trained a second time: the rest would show nothing more, and takes as long."""
ALSO = (
    "key:feature_registry",
    "key:online_features",
    "key:leaderboard",
    "key:champion",
    "key:attributed_impressions",
    "key:product_metrics",
    "key:drift_report",
)
"""What else the second run is to make."""


@click.command()
@click.option(
    "--visits",
    default=1_500,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Visits to the service.",
)
def demo(visits: int) -> None:
    """Run the platform on a simulated shop, with live traffic.

    Data, models, leaderboard, service, live traffic, learning from it, and an experiment. It lives in the
    home folder (.tastemaker, or TASTEMAKER_HOME). Running it again does only what changed.

    \b
    Examples:
      tastemaker demo
      TASTEMAKER_HOME=/tmp/shop tastemaker demo --visits 5000
    """
    from rich.console import Console

    from tastemaker_pipelines.cli.demo_dashboard import show_dashboard
    from tastemaker_pipelines.cli.demo_experiment import run_experiment

    console = Console(highlight=False)
    workspace = _workspace()
    started = time.monotonic()
    console.rule("[bold]1. From raw events to a champion", align="left")
    _run(workspace, console)
    console.rule("[bold]2. Who is best, and is it sure?", align="left")
    _leaderboard(workspace, console)
    console.rule("[bold]3. Served to the shop's people", align="left")
    before = _visit(workspace, console, visits, whole=True)
    console.rule("[bold]4. Logged, credited, and learned from", align="left")
    _learn(workspace, console, Path(before.client_log))
    console.rule("[bold]5. The same people again", align="left")
    after = _visit(workspace, console, visits, whole=False)
    _compare(before, after, console)
    console.rule("[bold]6. Is it working?", align="left")
    show_dashboard(workspace, console)
    console.rule("[bold]7. Is the champion worth it? An experiment", align="left")
    experiment = run_experiment(workspace, console)
    _where_to_look(workspace, console, time.monotonic() - started, experiment)


def _workspace() -> Workspace:
    """Return a workspace of the simulated shop, whatever source tastemaker.toml names.

    The problem file is written into the home folder if it is not there yet.
    """
    from tastemaker.settings import LearningSettings, SourceSettings, load_settings
    from tastemaker.workflows.workspace import Workspace

    home = load_settings().home
    problem = home / "problem.yaml"
    if not problem.exists():
        from importlib.resources import files

        with atomic_write(problem) as partial:
            partial.write_bytes((files("tastemaker.simulator") / "problem.yaml").read_bytes())
    source = SourceSettings(name="simulated", ended=True, options={"dated": _dated(home).isoformat()})
    learning = LearningSettings(feedback_delay_seconds=DELAY_SECONDS)
    return Workspace(load_settings(source=source, problem=problem, learning=learning))


def _dated(home: Path) -> date:
    """Return the date of the shop's first day: as in this home's first demo, else a recent one."""
    from tastemaker.simulator.source import DEMO
    from tastemaker_pipelines.recent_shop import recent_first_day

    noted = home / DEMO
    if noted.exists():
        return date.fromisoformat(json.loads(noted.read_text())["dated"])
    dated = recent_first_day(datetime.now(UTC).date())
    with atomic_write(noted) as partial:
        partial.write_text(json.dumps({"dated": dated.isoformat()}))
    return dated


def _run(workspace: Workspace, console: Console, select: str | None = None) -> None:
    from tastemaker_pipelines.cli.run import carry_out

    if not carry_out(workspace, console, select).success:
        sys.exit(1)


def _leaderboard(workspace: Workspace, console: Console) -> None:
    from tastemaker.evaluation.leaderboard.terminal import show

    show(workspace.leaderboard(), console, brief=True)


def _visit(workspace: Workspace, console: Console, visits: int, *, whole: bool) -> Summary:
    """Serve the champion, and simulate visits to it: the same users in every call."""
    from tastemaker.simulator.traffic.audience import TrafficMix
    from tastemaker.simulator.traffic.terminal import show
    from tastemaker_pipelines.cli.demo_service import ask, service, visit

    with service(workspace, console) as url:
        if whole:
            question = {"user_id": "u0000000", "k": 10}
            answer = ask(url, "u0000000")
            console.print(f"[bold]POST /recommend[/] {json.dumps(question)}")
            console.print_json(json.dumps({**answer, "items": answer["items"][:3]}))
        with console.status(f"{visits:,} visits"):
            summary = visit(workspace, url, visits, TrafficMix(anonymous=0.1))
    if whole:
        show(summary, console)
    return summary


def _learn(workspace: Workspace, console: Console, client_log: Path) -> None:
    """Let the bandit learn from the feedback at once, and train all other models a second time.

    Then print whether the log agrees with the client log of the visits, and how many events each version saw.
    """
    from tastemaker.simulator.traffic.log_audit import verdict
    from tastemaker.simulator.traffic.terminal import show_verdict
    from tastemaker.workflows.online_learning import GRACE_SECONDS, learning_session

    first, bandit = _champion(workspace), workspace.registry.newest(BANDIT, problem=workspace.problem.name)
    with learning_session(workspace, bandit) as learning, console.status(f"{BANDIT} learns"):
        time.sleep(DELAY_SECONDS + GRACE_SECONDS + 1)  # until the last list has earned what it will
        learned = learning.step()
    console.print(
        f"[bold]{BANDIT}[/] learned from {learned.impressions:,} items shown, {learned.rewarded:,} "
        "of them rewarded; tastemaker learn does so without end"
    )
    _run(workspace, console, " or ".join([*(f"+key:models/{name}" for name in AGAIN), *ALSO]))
    show_verdict(verdict(workspace.settings, client_log), console)
    second = _champion(workspace)
    with workspace.lake.connect() as connection:
        shown, rewarded = connection.execute(
            "SELECT count(*), count(*) FILTER (events > 0) FROM attributed_impressions"
        ).fetchall()[0]
    console.print(
        f"[bold]{first.model} {first.id}[/] had learned from {first.manifest.counts['events']:,} events, "
        f"[bold]{second.model} {second.id}[/] from {second.manifest.counts['events']:,}: the others are live "
        f"feedback. Of {shown:,} items shown, {rewarded:,} were credited with some."
    )


def _champion(workspace: Workspace) -> Version:
    """Return the version that `tastemaker serve` serves: the champion or, if there is none, the baseline."""
    registry, problem = workspace.registry, workspace.problem
    return registry.champion(problem.name) or registry.newest(problem.baseline, problem=problem.name)


def _compare(before: Summary, after: Summary, console: Console) -> None:
    """Print the same visits side by side: to the first version, and to the one that learned from them."""
    from rich.table import Table

    table = Table("", "first version", "second version", box=None, pad_edge=False, padding=(0, 2))
    rows: dict[str, Callable[[Summary], str]] = {
        "lists": lambda one: f"{one.visits - one.failed:,}",
        "clicks an item shown": lambda one: f"{one.click_rate or 0:.2%}",
        "  to be expected, by the shop's truth": lambda one: f"{one.expected_click_rate or 0:.2%}",
        "purchases": lambda one: f"{one.purchases:,}",
        "people who left for good": lambda one: f"{one.left:,}",
        "p50, p99": _speed,
    }
    for name, value in rows.items():
        table.add_row(name, value(before), value(after))
    console.print(table)


def _speed(summary: Summary) -> str:
    latency = summary.latency_ms["/recommend"]
    return f"{latency.p50:.1f} ms, {latency.p99:.1f} ms"


def _where_to_look(workspace: Workspace, console: Console, seconds: float, experiment: str | None) -> None:
    from tastemaker.html import index
    from tastemaker_pipelines.cli.demo_service import variables

    console.rule(f"[bold]Done in {seconds:.0f} s", align="left")
    console.print(f"  {index.rewrite(workspace.settings.reports)}    every report")
    home, dashboard = workspace.settings.home.resolve(), workspace.settings.dashboard
    pages = f"http://{dashboard.host}:{dashboard.port}/"
    show, page = (
        ("list", "experiments") if experiment is None else (f"show {experiment}", f"experiments/{experiment}")
    )
    exports = "\n".join(f"  export {name}='{value}'" for name, value in variables(workspace).items())
    console.print(
        f"\nNext, after\n{exports}\n\n"
        "  tastemaker leaderboard         which model is best, and is it sure\n"
        "  tastemaker frame --show        the problem as mathematics\n"
        "  tastemaker models list         what is installed\n"
        "  tastemaker serve popularity    any model, by name\n"
        "  tastemaker simulate            the shop's people visit what you serve\n"
        f"  tastemaker experiment {show:<9}    the experiment with all its figures\n"
        f"  tastemaker dashboard           the pages: {pages}, the experiment: {pages}{page}\n"
        f"  DAGSTER_HOME={home / 'dagster'} dagster dev    the asset graph"
    )
