"""Leaderboard in a terminal of any width: columns that do not fit side by side are put below each other."""

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
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard, LeaderboardRow
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.results import Backtest
from tastemaker.evaluation.seeds import SeedSpread
from tastemaker.evaluation.slices import Slice
from tastemaker.evaluation.verdicts import Verdict
from tastemaker.stats.bootstrap import Difference, Interval

COLOURS: dict[Verdict, str] = {
    "better": "blue",
    "worse": "yellow",
    "tied": "",
    "baseline": "bold",
    "not compared": "dim",
}
_FIGURE_WIDTH = 19
"""Width of a column of figures with their intervals, and the gap beside it."""
_NAMES = 12
"""The least width of names in a line with all figures beside them."""
_INTERVAL, _VERDICT = 18, 8
"""The widths of an interval with its signs, such as +0.1853 to +0.1991, and of a wrapped verdict."""
_BESIDE = "  "
"""Separator of a difference and its interval."""


def show(board: Leaderboard, console: Console, *, brief: bool = False) -> None:
    """Print the summary, the order and breached guardrails, then every metric, slice and cost.

    Args:
        board: The leaderboard to show.
        console: Where to print.
        brief: Print one line per group of models without significant differences (`groups`), and no other
            metrics, slices or costs.
    """
    console.print(f"[bold]{escape(board.problem.name)}[/bold]")
    console.print(escape(formatting.summary(board)))
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
    """Return the brief leaderboard as text without colours, 110 columns wide."""
    text = StringIO()
    console = Console(file=text, width=110, color_system=None, highlight=False, force_jupyter=False)
    show(board, console, brief=True)
    return text.getvalue().rstrip()


def _show_brief(board: Leaderboard, console: Console) -> None:
    """Print one line per group, one line per guardrail, and the first line of each failure."""
    found = groups(board)
    console.print(_groups(board, found, console.width))
    if any(len(group) > 1 for group in found):
        console.print("[dim]Figures of a line's first model; the others do not differ significantly.[/dim]")
    for guardrail, models in formatting.breached(board).items():
        console.print(f"[yellow]✖ guardrail[/yellow] {escape(guardrail)}: {escape(', '.join(models))}")
    for failure in board.failures:
        reason, *more = failure.reason.splitlines() or [""]
        text = f"{reason} …" if more else reason
        console.print(f"[red]✖ failed[/red] [bold]{escape(failure.model)}[/bold]: {escape(text)}")


def _groups(board: Leaderboard, found: Sequence[tuple[LeaderboardRow, ...]], width: int) -> Table:
    """Return one line per group where that fits; else intervals are below differences, and headings wrap."""
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
        table.add_row(*line, style=COLOURS[group[0].verdict])
    return table


def _group(board: Leaderboard, group: tuple[LeaderboardRow, ...]) -> list[str]:
    first = group[0]
    names = [row.model if row.verdict == first.verdict else f"{row.model} ({row.verdict})" for row in group]
    figure = formatting.number(first.backtest.metrics[board.metric].value)
    beside = "" if first.difference is None else _beside(first.difference)
    return [formatting.ranks(ranks_of(group)), escape(", ".join(names)), figure, beside, first.verdict]


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
            style=COLOURS[row.verdict],
        )
    return table


def _verdict(row: LeaderboardRow) -> str:
    """Return the verdict, its p-value, and whether a guardrail is breached, each on its own line."""
    lines: list[str] = [row.verdict]
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
    """Return the table of the metric in some slices, with the verdict where a model is better or worse."""
    heads = [f"{one.name}\n{one.users:,} users" for one in slices]
    table = _table([f"model, {formatting.title(board.metric, board.k)}", *heads])
    for at, row in enumerate(board.rows):
        cells = []
        for one in slices:
            found = one.rows[at]
            said = f"\n{found.verdict}" if found.verdict in ("better", "worse") else ""
            cells.append(_figure(found.figure.value, found.figure) + said)
        table.add_row(escape(row.model), *cells)
    return table


def seeds_table(spreads: Sequence[tuple[Backtest, SeedSpread]], metric: str, k: int) -> Table:
    """Return the table of the spread over seeds and the standard error over users.

    Args:
        spreads: Backtests with their spreads.
        metric: The name of the metric.
        k: The length of the lists.
    """
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
