"""`tastemaker train`: train models now, or show when and why each was trained."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tastemaker.cli.names import Name

if TYPE_CHECKING:
    from tastemaker.trainings.status import TrainingStatus
    from tastemaker.workflows.workspace import Workspace

WIDTH = 80


@click.command()
@click.argument("models", nargs=-1, type=Name(), metavar="[MODEL]...")
@click.option(
    "--when", is_flag=True, help="Show last and next training of each model, and why; train nothing."
)
@click.option("--reason", help="Why they are trained; it is recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome, or the answer of --when, as JSON.")
def train(models: tuple[str, ...], when: bool, reason: str | None, as_json: bool) -> None:
    """Train models on the data in the lake, and compare them.

    Without names, all enabled models. A model that is up to date is not fitted again. Each is trained in a
    child process that may use automation.training_memory_bytes of memory. The exit status is 1 if one fails.

    \b
    Examples:
      tastemaker train ials ranker --reason "a new catalogue"
      tastemaker train --when            last and next training of each model, and why
      tastemaker train ials --when --json
    """
    from rich.console import Console

    from tastemaker.errors import TastemakerError
    from tastemaker.workflows.workspace import Workspace

    if reason is not None and (when or not reason.strip()):
        problem = "--when trains nothing, so --reason has no meaning" if when else "--reason is empty"
        raise TastemakerError(problem, fix="leave --reason out, or say why in a few words to train")
    workspace = Workspace.open()
    names = _chosen(workspace, models)
    if when:
        _show(workspace, names, as_json)
        return
    from tastemaker_pipelines.cli.run import carry_out, outcome_as_json

    console = Console(stderr=as_json)
    outcome = carry_out(workspace, console, _selection(names), reason=reason or "tastemaker train")
    if as_json:
        click.echo(outcome_as_json(outcome))
    if not outcome.success:
        sys.exit(1)


def _chosen(workspace: Workspace, models: Sequence[str]) -> list[str]:
    """Return the named models, or all that take part. Raises TastemakerError for one that does not."""
    from tastemaker.errors import TastemakerError
    from tastemaker.plugins.discovery import installed_names
    from tastemaker.util.spelling import did_you_mean

    enabled = sorted(name for name in installed_names() if workspace.takes_part(name))
    for name in models:
        if name not in enabled:
            raise TastemakerError(
                f"{name!r} is not an enabled model",
                fix=did_you_mean(name, enabled, f"choose among {', '.join(enabled)}"),
            )
    return sorted(set(models)) or enabled


def _selection(names: Sequence[str]) -> str:
    """Return the assets that train and compare models, in Dagster's selection syntax."""
    keys = [f"{stage}/{name}" for name in names for stage in ("backtests", "models")]
    return " or ".join(f'key:"{key}"' for key in [*keys, "leaderboard", "champion"])


def _show(workspace: Workspace, names: Sequence[str], as_json: bool) -> None:
    from tastemaker.trainings.status import read_statuses
    from tastemaker.util import strict_json

    records = workspace.training_records
    records.flag_killed()
    statuses = read_statuses(workspace.engine, workspace.problem.name, names)
    if as_json:
        click.echo(strict_json.dumps([_as_json(one) for one in statuses], default=str))
        return
    for status in statuses:
        for line in _lines(status):
            click.echo(line)


def _lines(status: TrainingStatus) -> list[str]:
    """Return what is shown of a model, in lines of at most WIDTH characters."""
    facts = {
        "last": status.last_in_words,
        "why": status.reasons_in_words,
        "failed": "" if status.last is None else status.last.problem_text or "",
        "now": status.decision_in_words,
        "next": status.next_in_words,
    }
    lines = [status.model]
    for name, text in facts.items():
        if text:
            lines += textwrap.wrap(text, WIDTH, initial_indent=f"  {name:<8}", subsequent_indent=" " * 10)
    return lines


def _as_json(status: TrainingStatus) -> dict[str, Any]:
    decision = status.decision
    return {
        "model": status.model,
        "last": None
        if status.last is None
        else {**asdict(status.last), "reasons": [one._asdict() for one in status.last.reasons]},
        "decision": None
        if decision is None
        else {**asdict(decision), "conditions": [one._asdict() for one in decision.conditions]},
    }
