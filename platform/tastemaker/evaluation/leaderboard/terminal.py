"""The leaderboard in a terminal, never cut off: what does not fit beside goes below."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.leaderboard.groups import groups, ranks_of
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard, Row
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.results import Backtest
from tastemaker.evaluation.seeds import SeedSpread
from tastemaker.evaluation.slices import Slice
from tastemaker.evaluation.verdicts import Verdict
from tastemaker.stats.bootstrap import Difference, Interval

COLOURS: dict[Verdict, str] = {
    "beats": "blue",
    "worse": "yellow",
    "tied": "",
    "the baseline": "bold",
    "not compared": "dim",
}
_FIGURE_WIDTH = 19
"""Of a column of figures with their intervals, and the gap beside it."""
_NAMES = 12
"""The least width of names in a line with all figures beside."""
_INTERVAL, _VERDICT = 18, 8
"""The widths of an interval with its signs, such as +0.1853 to +0.1991, and of a verdict that is broken."""
_BESIDE = "  "
"""Between a difference and its interval."""


def show(board: Leaderboard, console: Console, *, brief: bool = False) -> None:
    """Print the verdict, the order and breached guardrails; unless brief, every metric, slice and cost too.

    Brief, a line is a group of models that can't be told apart (`groups`).
    """
    console.print(f"[bold]{escape(board.problem.name)}[/bold]")
    console.print(escape(formatting.verdict(board)))
    console.print(f"[dim]{formatting.basis(board)}[/dim]\n")
    if brief:
        _show_brief(board, console)
        return
    console.print(_order(board))
    for row in board.rows:
        for breach in row.breaches:
            console.print(
                f"[yellow]✖ guardrail[/yellow] {escape(row.model)}: {escape(formatting.breach(breach))}"
            )
    for failure in board.failures:
        reason = failure.reason.replace("\n", "\n  ")
        console.print(f"[red]✖ failed[/red] [bold]{escape(failure.model)}[/bold]: {escape(reason)}")
    _show_rest(board, console)


def _show_rest(board: Leaderboard, console: Console) -> None:
    others = [name for name in METRICS if name != board.metric]
    names = max(cell_len(row.model) for row in board.rows) + 4
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


def _show_brief(board: Leaderboard, console: Console) -> None:
    """A line a group, a line a guardrail, and the first line of each failure."""
    found = groups(board)
    console.print(_groups(board, found, console.width))
    if any(len(group) > 1 for group in found):
        console.print("[dim]Models in one line can't be told from its first, whose figures these are.[/dim]")
    for guardrail, models in formatting.breached(board).items():
        console.print(f"[yellow]✖ guardrail[/yellow] {escape(guardrail)}: {escape(', '.join(models))}")
    for failure in board.failures:
        reason, *more = failure.reason.splitlines() or [""]
        told = f"{reason} …" if more else reason
        console.print(f"[red]✖ failed[/red] [bold]{escape(failure.model)}[/bold]: {escape(told)}")


def _groups(board: Leaderboard, found: Sequence[tuple[Row, ...]], width: int) -> Table:
    """One line a group where that fits; else a difference's interval is below it, and headings are broken."""
    lines = [_group(board, group) for group in found]
    heads = [
        "#",
        "model",
        formatting.title(board.metric, board.k),
        f"from {board.problem.baseline}",
        "verdict",
    ]
    widths = [
        max(cell_len(head), *(cell_len(Text.from_markup(line[at]).plain) for line in lines))
        for at, head in enumerate(heads)
    ]
    room = width - 2 * (len(heads) - 1)
    widths[1] = room - sum(widths) + widths[1]
    if widths[1] < _NAMES:
        lines = [[*line[:3], line[3].replace(_BESIDE, "\n"), line[4]] for line in lines]
        widths[3:] = _INTERVAL, _VERDICT
        widths[1] = room - sum(widths) + widths[1]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for head, one in zip(heads, widths, strict=True):
        table.add_column(escape(head), overflow="fold", width=one if widths[1] >= _NAMES else None)
    for group, line in zip(found, lines, strict=True):
        table.add_row(*line, style=COLOURS[group[0].mark])
    return table


def _group(board: Leaderboard, group: tuple[Row, ...]) -> list[str]:
    first = group[0]
    names = [row.model if row.mark == first.mark else f"{row.model} ({row.mark})" for row in group]
    figure = formatting.number(first.backtest.metrics[board.metric].value)
    beside = "" if first.difference is None else _beside(first.difference)
    return [formatting.ranks(ranks_of(group)), escape(", ".join(names)), figure, beside, first.mark]


def _beside(difference: Difference) -> str:
    value = formatting.number(difference.difference, signed=True)
    return f"{value}{_BESIDE}[dim]{formatting.span(difference, signed=True)}[/dim]"


def _order(board: Leaderboard) -> Table:
    heads = [
        "#",
        "model",
        formatting.title(board.metric, board.k),
        f"from {board.problem.baseline}",
        "verdict",
    ]
    table = _table(heads)
    for row in board.rows:
        figure = row.backtest.metrics[board.metric]
        table.add_row(
            formatting.ranks(row.ranks),
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
        lines.append(f"[dim]{formatting.chance(row.p)}[/dim]")
    if row.breaches:
        lines.append("[yellow]✖ guardrail[/yellow]")
    return "\n".join(lines)


def _metrics(board: Leaderboard, names: Sequence[str]) -> Table:
    table = _table(["model", *(formatting.title(name, board.k) for name in names)])
    for row in board.rows:
        figures = [row.backtest.metrics[name] for name in names]
        table.add_row(escape(row.model), *(_figure(figure.value, figure) for figure in figures))
    return table


def _slices(board: Leaderboard, slices: Sequence[Slice]) -> Table:
    """The board's metric in some slices; a mark where a model beats the baseline there, or is worse."""
    heads = [f"{one.name}\n{one.users:,} users" for one in slices]
    table = _table([f"model, {formatting.title(board.metric, board.k)}", *heads])
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
    table = _table([f"model, {formatting.title(metric, k)}", *formatting.SEED_HEADS])
    for backtest, spread in spreads:
        table.add_row(escape(backtest.model), *formatting.seeds(spread, metric, backtest.metrics[metric]))
    return table


def _costs(board: Leaderboard) -> Table:
    table = _table(["model", "training", "scoring", "artifact"])
    for row in board.rows:
        seconds = row.backtest.train_seconds, row.backtest.score_seconds
        size = formatting.size(row.backtest.artifact_bytes)
        table.add_row(escape(row.model), *(formatting.seconds(value) for value in seconds), size)
    return table


def _table(heads: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(escape(head), overflow="fold")
    return table


def _figure(value: float, interval: Interval | Difference, *, signed: bool = False) -> str:
    return f"{formatting.number(value, signed=signed)}\n[dim]{formatting.span(interval, signed=signed)}[/dim]"
