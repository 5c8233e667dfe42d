"""Leaderboard as a PNG."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.evaluation.verdicts import Verdict
from tastemaker.stats.bootstrap import Difference, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES: dict[Verdict, tuple[str, str]] = {
    "better": ("#0072b2", "^"),
    "worse": ("#b84a00", "v"),
    "tied": ("#6a737d", "o"),
    "baseline": ("#1b1f24", "D"),
    "not compared": ("#6a737d", "o"),
}
"""Colour and shape of each verdict's point; the shapes alone are distinct."""


def figure(board: Leaderboard) -> Figure:
    """Return the plot. Needs the extra `monitoring` (matplotlib)."""
    from matplotlib.figure import Figure

    class Picture(Figure):
        """Figure that a notebook shows without pyplot, which has global state."""

        def _repr_png_(self) -> bytes:
            return png(self)

    figure = Picture(figsize=(11, 1.9 + 0.45 * len(board.rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    verdicts = [row.verdict for row in board.rows]
    plain: dict[str, Any] = {"parse_math": False}  # a name may hold a $
    _panel(left, [row.backtest.metrics[board.metric] for row in board.rows], verdicts)
    _panel(right, [row.difference for row in board.rows], verdicts)
    labels = [f"{row.model}\n{row.standing}, rank {formatting.ranks(row.ranks)}" for row in board.rows]
    left.set_yticks(range(len(board.rows)), labels, fontsize=8.5, **plain)
    left.invert_yaxis()
    left.set_title(formatting.title(board.metric, board.k), loc="left", fontsize=11, **plain)
    right.set_title(f"Difference from {board.problem.baseline}", loc="left", fontsize=11, **plain)
    right.axvline(0, color="#57606a", linestyle="--", linewidth=1, zorder=0)
    figure.suptitle(board.problem.name, x=0.01, ha="left", fontweight="bold", **plain)
    figure.supxlabel(formatting.basis(board), fontsize=8, color="#57606a", x=0.01, ha="left")
    return figure


def png(figure: Figure) -> bytes:
    """Return the content of a PNG file of a plot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # scripts that the font lacks
        FigureCanvasAgg(figure).print_figure(content, dpi=150, format="png")
    return content.getvalue()


def _panel(axes: Axes, figures: Sequence[Interval | Difference | None], verdicts: Sequence[Verdict]) -> None:
    for y, (figure, verdict) in enumerate(zip(figures, verdicts, strict=True)):
        if figure:
            colour, shape = STYLES[verdict]
            axes.plot([figure.low, figure.high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
            axes.plot(figure[0], y, marker=shape, color=colour, markersize=7)
    axes.grid(axis="x", color="#d8dee4")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
