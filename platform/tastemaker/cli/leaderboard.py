"""`tastemaker leaderboard`: compare all models, with intervals and significance tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
    from tastemaker.problem import ProblemSpec
    from tastemaker.settings import Settings
    from tastemaker.workflows.workspace import Workspace


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--problem",
    help="The path of a problem file, or the name of the problem in use.  [default: the problem in use]",
    metavar="FILE|NAME",
)
@click.option("--metric", help="Compare by this metric, such as recall.  [default: the problem's metric]")
@click.option(
    "--all", "every", is_flag=True, help="Print one row per model, with every metric, slice and cost."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every metric, slice and cost.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an HTML page, which works offline, to this path.",
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG to this path.")
def leaderboard(
    problem: str | None, metric: str | None, every: bool, as_json: bool, html: Path | None, plot: Path | None
) -> None:
    """Compare all models, with intervals and significance tests.

    Prints figures with 95 % intervals, and each model's paired difference from the baseline.
    One model is best; each other model is tied with it or worse, by paired tests that are corrected for the
    number of comparisons. Models whose difference is not significant share a rank, and without --all a line.

    \b
    Examples:
      tastemaker leaderboard
      tastemaker leaderboard --all
      tastemaker leaderboard --metric reward
      tastemaker leaderboard --problem new_items.yaml --html leaderboard.html --plot leaderboard.png
      tastemaker leaderboard --json | jq '.rows[] | [.model, .standing, .metrics.ndcg.value]'
    """
    from tastemaker.html import index
    from tastemaker.workflows.workspace import Workspace

    workspace = Workspace.open()
    board = _load(workspace, problem, metric)
    for path, write in ((html, board.write_html), (plot, board.plot)):
        if path:
            _written(path, write)
            click.echo(f"wrote {path}", err=True)
    if html:
        index.include(html, workspace.settings.reports)
    if as_json:
        click.echo(board.to_json())
    elif not (html or plot):
        from rich.console import Console

        from tastemaker.cli.promotion import note_freeze
        from tastemaker.evaluation.leaderboard.terminal import show

        show(board, Console(highlight=False), brief=not every)
        if not every:
            click.echo("Every metric, slice and cost: tastemaker leaderboard --all")
        note_freeze(workspace)


def _load(workspace: Workspace, problem: str | None, metric: str | None) -> Leaderboard:
    from tastemaker.errors import TastemakerError
    from tastemaker.evaluation.metrics import METRICS

    if metric is not None and metric not in METRICS:
        raise TastemakerError(
            f"--metric is {metric!r}, which is not a metric", fix=f"one of {', '.join(METRICS)}"
        )
    spec = _problem(workspace.settings, problem)
    return workspace.leaderboard(spec, metric=metric)


def _problem(settings: Settings, wanted: str | None) -> ProblemSpec:
    """Read the problem named by --problem, or the one in use."""
    from tastemaker.errors import TastemakerError
    from tastemaker.problem import load_problem

    if wanted and Path(wanted).is_file():
        return load_problem(Path(wanted))
    spec = load_problem(settings.problem)
    if wanted and wanted != spec.name:
        raise TastemakerError(
            f"--problem is {wanted!r}, which is neither a file nor the problem in use: "
            f"{settings.problem} has the name {spec.name!r}",
            fix="pass the path of the problem's file",
        )
    return spec


def _written(path: Path, write: Callable[[Path], object]) -> None:
    from tastemaker.errors import TastemakerError

    try:
        write(path)
    except OSError as error:
        raise TastemakerError(
            f"{path} can't be written: {error.strerror or error}",
            fix="name a file in a folder that you can write to",
        ) from error
