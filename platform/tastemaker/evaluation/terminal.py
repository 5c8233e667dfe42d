"""The leaderboard in a terminal, never cut off: what does not fit beside goes below."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tastemaker.evaluation import wording
from tastemaker.evaluation.bootstrap import Difference, Interval
from tastemaker.evaluation.leaderboard import Leaderboard, Row
from tastemaker.evaluation.marks import Mark
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.results import Backtest
from tastemaker.evaluation.seeds import SeedSpread
from tastemaker.evaluation.slices import Slice

COLOURS: dict[Mark, str] = {
    "beats": "blue",
    "worse": "yellow",
    "tied": "",
    "the one to beat": "bold",
    "not compared": "dim",
}
_FIGURE_WIDTH = 19
"""Of a column of figures with their intervals, and the gap beside it."""


def show(board: Leaderboard, console: Console, *, brief: bool = False) -> None:
    """Print the verdict, the order and breached guardrails; unless brief, other metrics and costs too."""
    console.print(f"[bold]{escape(board.problem.name)}[/bold]")
    console.print(escape(wording.verdict(board)))
    console.print(f"[dim]{wording.basis(board)}[/dim]\n")
    console.print(_order(board))
    for row in board.rows:
        for breach in row.breaches:
            console.print(f"[yellow]✖ guardrail[/yellow] {escape(row.model)}: {wording.breach(breach)}")
    for failure in board.failures:
        reason = failure.reason.replace("\n", "\n  ")
        console.print(f"[red]✖ failed[/red] [bold]{escape(failure.model)}[/bold]: {escape(reason)}")
    if brief:
        return
    others = [name for name in METRICS if name != board.metric]
    names = max(len(row.model) for row in board.rows) + 4
    per_table = max(1, (console.width - names) // _FIGURE_WIDTH)
    for start in range(0, len(others), per_table):
        console.print(_metrics(board, others[start : start + per_table]))
    for dimension in dict.fromkeys(one.dimension for one in board.slices):
        slices = [one for one in board.slices if one.dimension == dimension]
        for start in range(0, len(slices), per_table):
            console.print(_slices(board, slices[start : start + per_table]))
    spreads = [(row.backtest, row.seeds) for row in board.rows if row.seeds]
    if spreads:
        console.print(seeds_table(spreads, board.metric, board.k))
    console.print(_costs(board))


def as_text(board: Leaderboard) -> str:
    """The verdict and the order, without colours, 110 columns wide."""
    text = StringIO()
    console = Console(file=text, width=110, color_system=None, highlight=False, force_jupyter=False)
    show(board, console, brief=True)
    return text.getvalue().rstrip()


def _order(board: Leaderboard) -> Table:
    heads = ["#", "model", wording.title(board.metric, board.k), f"from {board.problem.to_beat}", "verdict"]
    table = _table(heads)
    for row in board.rows:
        figure = row.backtest.metrics[board.metric]
        table.add_row(
            wording.ranks(row.ranks),
            f"{escape(row.model)}\n[dim]{row.standing}[/dim]",
            _figure(figure.value, figure),
            "" if row.difference is None else _figure(row.difference.difference, row.difference, signed=True),
            _verdict(row),
            style=COLOURS[row.mark],
        )
    return table


def _verdict(row: Row) -> str:
    """The mark, its p, and whether a guardrail is broken, a line each."""
    lines: list[str] = [row.mark]
    if row.p is not None:
        lines.append(f"[dim]{wording.chance(row.p)}[/dim]")
    if row.breaches:
        lines.append("[yellow]✖ guardrail[/yellow]")
    return "\n".join(lines)


def _metrics(board: Leaderboard, names: Sequence[str]) -> Table:
    table = _table(["model", *(wording.title(name, board.k) for name in names)])
    for row in board.rows:
        figures = [row.backtest.metrics[name] for name in names]
        table.add_row(escape(row.model), *(_figure(figure.value, figure) for figure in figures))
    return table


def _slices(board: Leaderboard, slices: Sequence[Slice]) -> Table:
    """The board's metric in some slices; a mark where a model beats the one to beat there, or is worse."""
    heads = [f"{one.name}\n{one.users:,} users" for one in slices]
    table = _table([f"model, {wording.title(board.metric, board.k)}", *heads])
    for at, row in enumerate(board.rows):
        cells = []
        for one in slices:
            found = one.rows[at]
            said = f"\n{found.mark}" if found.mark in ("beats", "worse") else ""
            cells.append(_figure(found.figure.value, found.figure) + said)
        table.add_row(escape(row.model), *cells)
    return table


def seeds_table(spreads: Sequence[tuple[Backtest, SeedSpread]], metric: str, k: int) -> Table:
    """How much chance in training there is beside that of the users."""
    table = _table([f"model, {wording.title(metric, k)}", *wording.SEED_HEADS])
    for backtest, spread in spreads:
        table.add_row(escape(backtest.model), *wording.seeds(spread, metric, backtest.metrics[metric]))
    return table


def _costs(board: Leaderboard) -> Table:
    table = _table(["model", "training", "scoring", "artifact"])
    for row in board.rows:
        seconds = row.backtest.train_seconds, row.backtest.score_seconds
        size = wording.size(row.backtest.artifact_bytes)
        table.add_row(escape(row.model), *(wording.seconds(value) for value in seconds), size)
    return table


def _table(heads: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(escape(head), overflow="fold")
    return table


def _figure(value: float, interval: Interval | Difference, *, signed: bool = False) -> str:
    return f"{wording.number(value, signed=signed)}\n[dim]{wording.span(interval, signed=signed)}[/dim]"
