"""`tastemaker leaderboard`: who is best, and is it sure?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from tastemaker.evaluation.leaderboard import Leaderboard, Row
    from tastemaker.problem import ProblemSpec
    from tastemaker.settings import Settings

COLOURS = {"beats": "blue", "worse": "yellow", "tied": "", "the one to beat": "bold", "not compared": "dim"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--problem", help="The problem's file, or its name if it is the file in use.", metavar="FILE|NAME"
)
@click.option("--metric", help="Compare by this metric instead of the problem's own, such as recall.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page that works offline."
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG.")
def leaderboard(
    problem: str | None, metric: str | None, as_json: bool, html: Path | None, plot: Path | None
) -> None:
    """Every model side by side: figures with 95 % intervals, and the paired difference from the one to beat.

    Models that the judged users can't tell apart share a rank.

    \b
    Examples:
      tastemaker leaderboard
      tastemaker leaderboard --metric reward
      tastemaker leaderboard --problem new_items.yaml --html leaderboard.html --plot leaderboard.png
      tastemaker leaderboard --json | jq '.rows[] | [.rank, .model, .metrics.ndcg.value]'
    """
    board = _load(problem, metric)
    for path, write in ((html, _write_html), (plot, _write_plot)):
        if path:
            write(board, path)
            click.echo(f"wrote {path}", err=True)
    if as_json:
        click.echo(board.to_json())
    elif not (html or plot):
        _show(board)


def _load(problem: str | None, metric: str | None) -> Leaderboard:
    from tastemaker.errors import TastemakerError
    from tastemaker.evaluation.leaderboard import Leaderboard
    from tastemaker.evaluation.metrics import METRICS
    from tastemaker.settings import load_settings
    from tastemaker.storage.engine import open_engine

    if metric is not None and metric not in METRICS:
        raise TastemakerError(
            f"--metric is {metric!r}, which is no metric", fix=f"one of {', '.join(METRICS)}"
        )
    settings = load_settings()
    spec = _problem(settings, problem)
    return Leaderboard.load(open_engine(settings.metadata_url), spec, settings.artifacts, metric=metric)


def _problem(settings: Settings, wanted: str | None) -> ProblemSpec:
    """The problem file in use, or the one that was asked for."""
    from tastemaker.errors import TastemakerError
    from tastemaker.problem import load_problem

    if wanted and Path(wanted).is_file():
        return load_problem(Path(wanted))
    spec = load_problem(settings.problem)
    if wanted and wanted != spec.name:
        raise TastemakerError(
            f"--problem is {wanted!r}, which is no file; {settings.problem} is the problem {spec.name!r}",
            fix="pass the path of the other problem's file",
        )
    return spec


def _write_html(board: Leaderboard, path: Path) -> None:
    board.write_html(path)


def _write_plot(board: Leaderboard, path: Path) -> None:
    board.plot(path)


def _show(board: Leaderboard) -> None:
    from rich.console import Console
    from rich.markup import escape

    from tastemaker.evaluation import wording

    console = Console(highlight=False)
    console.print(f"[bold]{escape(board.problem.name)}[/bold]  {escape(wording.verdict(board))}")
    console.print(f"[dim]{wording.basis(board)}[/dim]\n")
    console.print(_summary(board))
    for row in board.rows:
        for breach in row.breaches:
            console.print(f"[yellow]✖ guardrail[/yellow] {row.model}: {wording.breach(breach)}")
    for names in wording.GROUPS.values():
        console.print(_metrics(board, [name for name in names if name != board.metric]))


def _summary(board: Leaderboard) -> Table:
    from rich import box
    from rich.table import Table

    from tastemaker.evaluation import wording

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("model", no_wrap=True)
    table.add_column(wording.title(board.metric, board.k), no_wrap=True)
    table.add_column(f"from {board.problem.to_beat}", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for head in ("training", "scoring", "artifact"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in board.rows:
        table.add_row(*_cells(board, row), style=COLOURS[row.mark])
    return table


def _cells(board: Leaderboard, row: Row) -> list[str]:
    from rich.markup import escape

    from tastemaker.evaluation import wording

    backtest, figure = row.backtest, row.backtest.metrics[board.metric]
    difference = ""
    if row.difference:
        value = wording.number(row.difference.difference, signed=True)
        difference = f"{value}\n[dim]{wording.span(row.difference, signed=True)}[/dim]"
    return [
        str(row.rank),
        escape(row.model),
        f"{wording.number(figure.value)}\n[dim]{wording.span(figure)}[/dim]",
        difference,
        row.mark + ("\n[yellow]✖ guardrail[/yellow]" if row.breaches else ""),
        wording.seconds(backtest.train_seconds),
        wording.seconds(backtest.score_seconds),
        wording.size(backtest.artifact_bytes),
    ]


def _metrics(board: Leaderboard, names: list[str]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from tastemaker.evaluation import wording

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in names:
        table.add_column(wording.title(name, board.k), no_wrap=True)
    for row in board.rows:
        figures = [row.backtest.metrics[name] for name in names]
        table.add_row(
            escape(row.model),
            *(f"{wording.number(one.value)}\n[dim]{wording.span(one)}[/dim]" for one in figures),
        )
    return table
