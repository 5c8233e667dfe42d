"""`tastemaker run`: run the asset graph in one process."""

from __future__ import annotations

import sys
import warnings
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.names import Name

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.settings import Settings
    from tastemaker.workflows.workspace import Workspace
    from tastemaker_pipelines.run import Outcome


@click.command()
@click.option("--select", help="These assets, in Dagster's selection syntax. Default: all but ablations.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="Ingest only days from this one on.")
@click.option("--end", type=click.DateTime(["%Y-%m-%d"]), help="Ingest only days until this one, inclusive.")
@click.option("--force", is_flag=True, help="Ingest days even if they did not change (a backfill).")
@click.option(
    "--only",
    multiple=True,
    type=Name(),
    metavar="MODEL",
    help="Only this model and the baseline; repeatable.",
)
@click.option(
    "--without", multiple=True, type=Name(), metavar="MODEL", help="All models but this one; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def run(
    select: str | None,
    start: datetime | None,
    end: datetime | None,
    force: bool,
    only: tuple[str, ...],
    without: tuple[str, ...],
    as_json: bool,
) -> None:
    """Ingest, validate, train, evaluate and report.

    Work that is up to date is not repeated, so that a run after a failure continues where it stopped.
    `dagster dev` shows the same graph as a page. A model that fails is named with the reason, here and on
    the leaderboard; the other models are compared, and the exit status is 1.

    \b
    Examples:
      tastemaker run
      tastemaker run --select '+key:leaderboard'         the leaderboard and all it needs
      tastemaker run --select 'key:backtests/item_knn+'  one model's backtest and all that depends on it
      tastemaker run --only ease --only ials             two models and the baseline (see models.enabled)
      tastemaker run --without ranker                    all but one (see models.disabled)
      tastemaker run --start 2011-11-01 --end 2011-11-30 --force
    """
    from rich.console import Console

    from tastemaker.settings import load_settings
    from tastemaker.trainings.enabled_models import require_baseline, require_choice
    from tastemaker.workflows.workspace import Workspace

    console = Console(stderr=as_json)
    workspace = Workspace(_choosing(load_settings(), only, without))
    _ = workspace.problem  # a wrong problem file is reported before anything starts
    require_baseline("--without", without, workspace.problem.baseline)
    require_choice(workspace.settings.models, workspace.problem.baseline)
    _name_lost_versions(workspace, console)
    outcome = carry_out(workspace, console, select, days_config(start, end, force=force))
    if as_json:
        click.echo(outcome_as_json(outcome))
    if not outcome.success:
        sys.exit(1)


def _choosing(settings: Settings, only: tuple[str, ...], without: tuple[str, ...]) -> Settings:
    """Return the settings with the models that the command line chooses; `--only` replaces models.enabled."""
    from tastemaker.plugins.discovery import installed_names
    from tastemaker.trainings.enabled_models import require_installed

    for option, names in (("--only", only), ("--without", without)):
        require_installed(option, names, installed_names())
    models = settings.models
    chosen = models.model_copy(
        update={"enabled": only or models.enabled, "disabled": (*models.disabled, *without)}
    )
    return settings.model_copy(update={"models": chosen})


def _name_lost_versions(workspace: Workspace, console: Console) -> None:
    """Name versions that the database does not know, such as after it was deleted."""
    from tastemaker.registry.rebuild import lost

    if said := lost(workspace.engine, workspace.settings.artifacts):
        console.print(f"[yellow]note:[/] {said}", highlight=False, soft_wrap=True)


def carry_out(
    workspace: Workspace,
    console: Console,
    select: str | None = None,
    config: dict[str, Any] | None = None,
    *,
    reason: str = "tastemaker run",
) -> Outcome:
    """Run the selected assets with progress on the console.

    Args:
        workspace: The project to run.
        console: Where progress, warnings and failures are printed.
        select: Which assets to run, in Dagster's selection syntax; all if None.
        config: Dagster run config, such as the days to ingest.
        reason: Why models are trained, in words.

    Returns:
        The outcome, with the state of each step.
    """
    # Libraries of libraries call each other's deprecated parts; the user can't fix that.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    with console.status("loading the asset graph"):
        from tastemaker_pipelines.run import run as run_graph
    from rich.markup import escape

    from tastemaker_pipelines.cli.progress import shown

    with shown(console) as on_change:
        outcome = run_graph(
            workspace.settings,
            select=select,
            config=config,
            reason=reason,
            on_change=on_change,
            on_wait=lambda said: click.echo(f"note: {said}", err=True),
        )
    for step in outcome.steps.values():
        for warning in (value for name, value in step.facts.items() if name.endswith("warning")):
            console.print(f"[yellow]note:[/] {escape(str(warning))}", highlight=False, soft_wrap=True)
    failed = [step.name for step in outcome.steps.values() if step.state == "failed"]
    if outcome.trained:
        console.print(f"trained: {', '.join(outcome.trained)}", highlight=False, soft_wrap=True)
    elif outcome.trained is not None and not failed:
        console.print("nothing was trained: no model has new data, code or config", highlight=False)
    if failed:
        console.print(
            f"[red]failed:[/] {', '.join(failed)}. Fix the cause and run again: finished work is kept."
        )
    return outcome


def days_config(
    start: datetime | None, end: datetime | None, *, force: bool = False
) -> dict[str, Any] | None:
    """Return the run config that restricts ingestion to some days; None for no restriction.

    Args:
        start: The first day; None for no limit.
        end: The last day, inclusive; None for no limit.
        force: Whether days are read that did not change.
    """
    config: dict[str, Any] = {"force": force}
    if start:
        config["start"] = start.date().isoformat()
    if end:
        config["end"] = end.date().isoformat()
    return {"ops": {"landed_events": {"config": config}}} if len(config) > 1 or force else None


def outcome_as_json(outcome: Outcome) -> str:
    """Return an outcome as JSON: the run, and state, facts and problem of each step."""
    from tastemaker.util import strict_json

    steps = [
        {
            "name": step.name,
            "state": step.state,
            "seconds": step.seconds,
            "facts": step.facts,
            "problem": step.problem,
        }
        for step in outcome.steps.values()
    ]
    return strict_json.dumps(
        {"run_id": outcome.run_id, "success": outcome.success, "trained": outcome.trained, "steps": steps},
        default=str,
    )
