"""Forest plot as SVG: each model's figure with its interval, and its difference from the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from markupsafe import Markup
from rich.cells import cell_len, set_cell_size

from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard, LeaderboardRow
from tastemaker.evaluation.verdicts import Verdict
from tastemaker.html import join
from tastemaker.stats.bootstrap import Difference, Interval

_TITLE = Markup('<text x="{}" y="20" font-weight="600">{}</text>')
_LINE = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>')
_BAR = Markup('<line class="bar" x1="{}" x2="{}" y1="{}" y2="{}"/>')
_TICK = Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>')

WIDTH, ROW, TOP, BOTTOM = 480, 30, 34, 30
"""Pixels of a panel's view box; the page scales it, and puts two beside or below each other."""
LABELS = 162
LONGEST = 14
"""Characters of a model's name that are shown; the tooltip and the tables show the whole name."""


class Axis(NamedTuple):
    """Linear axis that maps [low, high] to pixels [left, right]."""

    low: float
    high: float
    left: float
    right: float

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)


def forest(board: Leaderboard) -> Markup:
    """Return two <svg> elements: the figures, and the differences from the baseline."""
    name = formatting.title(board.metric, board.k)
    difference = f"Difference from {board.problem.baseline}"
    figures = [row.backtest.metrics[board.metric] for row in board.rows]
    differences = [row.difference for row in board.rows]
    return join(
        [
            _panel(board, name, f"{name} with 95 % intervals", figures, zero=False),
            _panel(board, difference, f"{difference}, paired, with 95 % intervals", differences, zero=True),
        ]
    )


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return about `count` round values inside [low, high].

    Args:
        low: The left end.
        high: The right end.
        count: About how many values.

    >>> ticks(0.013, 0.052)
    [0.02, 0.03, 0.04, 0.05]
    """
    rough = (high - low) / count
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    places = max(0, -floor(log10(step)))
    return [round(i * step, places) for i in range(ceil(low / step), floor(high / step) + 1)]


def _panel(
    board: Leaderboard,
    title: str,
    label: str,
    figures: Sequence[Interval | Difference | None],
    *,
    zero: bool,
) -> Markup:
    """Return a panel: title, labels, grid, and per row a point with its bar (none without a figure)."""
    values = [value for figure in figures if figure for value in figure[:3] if isfinite(value)]
    left, right = LABELS + 10, WIDTH - 16
    axis = _axis([*values, 0.0] if zero or not values else values, left, right)
    foot = TOP + ROW * len(figures)
    parts = [_label(at, row) for at, row in enumerate(board.rows)]
    parts.append(_TITLE.format(left, title))
    for value in ticks(axis.low, axis.high, 5):
        x = f"{axis.at(value):.1f}"
        parts.append(_LINE.format("zero" if zero and value == 0 else "grid", x, x, TOP, foot))
        parts.append(_TICK.format(x, foot + 18, f"{value:,g}".replace("-", "−")))
    for at, (figure, row) in enumerate(zip(figures, board.rows, strict=True)):
        if figure:
            parts.append(_point(axis, figure, row.verdict, TOP + ROW * at + ROW / 2))
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>').format(
        WIDTH, foot + BOTTOM, label, join(parts)
    )


def _label(at: int, row: LeaderboardRow) -> Markup:
    y = TOP + ROW * at
    band = Markup('<rect class="band" x="0" y="{}" width="{}" height="{}"/>').format(y, WIDTH, ROW)
    shown = (
        row.model if cell_len(row.model) <= LONGEST else set_cell_size(row.model, LONGEST - 1).rstrip() + "…"
    )
    return Markup('{}<text x="6" y="{}">{}</text><text x="54" y="{}"><title>{}</title>{}</text>').format(
        "" if at % 2 else band,
        y + 20,
        formatting.ranks(row.ranks),
        y + 20,
        f"{row.model}: {row.standing}",
        shown,
    )


def _axis(values: Sequence[float], left: float, right: float) -> Axis:
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or max(abs(high) * 0.1, 1e-3)
    return Axis(low - margin, high + margin, left, right)


def _point(axis: Axis, figure: Interval | Difference, verdict: Verdict, y: float) -> Markup:
    x, bar = axis.at(figure[0]), Markup("")
    if isfinite(figure.low):
        low, high = axis.at(figure.low), axis.at(figure.high)
        bar = _BAR.format(f"{low:.1f}", f"{high:.1f}", y, y)
    shapes = {
        "better": f"M{x - 6:.1f} {y + 5}L{x:.1f} {y - 6}L{x + 6:.1f} {y + 5}Z",
        "worse": f"M{x - 6:.1f} {y - 5}L{x:.1f} {y + 6}L{x + 6:.1f} {y - 5}Z",
        "baseline": f"M{x - 6:.1f} {y}L{x:.1f} {y - 6}L{x + 6:.1f} {y}L{x:.1f} {y + 6}Z",
    }
    circle = f"M{x - 5:.1f} {y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z"
    tip = f"{formatting.number(figure[0])} ({formatting.span(figure)})"
    path = Markup('<path class="mark" d="{}"/>').format(shapes.get(verdict, circle))
    return Markup('<g class="{}"><title>{}</title>{}{}</g>').format(verdict.replace(" ", "-"), tip, bar, path)
