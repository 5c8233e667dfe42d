"""The forest plot as SVG: each model's figure with its interval, and its difference from the one to beat."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from tastemaker.evaluation import wording
from tastemaker.evaluation.bootstrap import Difference, Interval
from tastemaker.evaluation.leaderboard import Leaderboard, Row
from tastemaker.evaluation.marks import Mark

WIDTH, ROW, TOP, BOTTOM = 960, 30, 34, 30
"""Pixels of the view box; the page scales it."""
LABELS = 170


class Axis(NamedTuple):
    """Maps [low, high] to pixels [left, right]."""

    low: float
    high: float
    left: float
    right: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)


def forest(board: Leaderboard) -> str:
    """The <svg> element."""
    height = TOP + ROW * len(board.rows) + BOTTOM
    middle = LABELS + (WIDTH - LABELS) / 2
    name = wording.title(board.metric, board.k)
    figures = [row.backtest.metrics[board.metric] for row in board.rows]
    differences = [row.difference for row in board.rows]
    marks = [row.mark for row in board.rows]
    title = f"{name} with 95 % intervals, and paired differences from {board.problem.to_beat}"
    left, right = (LABELS + 10, middle - 24), (middle + 24, WIDTH - 20)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        *(_label(at, row) for at, row in enumerate(board.rows)),
        *_panel(name, figures, marks, *left, zero=False),
        *_panel(f"Difference from {board.problem.to_beat}", differences, marks, *right, zero=True),
        "</svg>",
    ]
    return "\n".join(parts)


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """About `count` round values inside [low, high].

    >>> ticks(0.013, 0.052)
    [0.02, 0.03, 0.04, 0.05]
    """
    rough = (high - low) / count
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    places = max(0, -floor(log10(step)))
    return [round(i * step, places) for i in range(ceil(low / step), floor(high / step) + 1)]


def _label(at: int, row: Row) -> str:
    y = TOP + ROW * at
    band = f'<rect class="band" x="0" y="{y}" width="{WIDTH}" height="{ROW}"/>' if at % 2 == 0 else ""
    shown = row.model if len(row.model) <= 18 else row.model[:17] + "…"
    tip = f"<title>{escape(row.model)}: {row.standing}</title>"
    text = f'<text x="8" y="{y + 20}">{wording.ranks(row.ranks)}</text>'
    return f'{band}{text}<text x="48" y="{y + 20}">{tip}{escape(shown)}</text>'


def _panel(
    title: str,
    figures: Sequence[Interval | Difference | None],
    marks: Sequence[Mark],
    left: float,
    right: float,
    *,
    zero: bool,
) -> list[str]:
    """One panel: title, grid, and a mark with its bar a row (none where there is no figure)."""
    values = [value for figure in figures if figure for value in figure[:3] if isfinite(value)]
    axis = _axis([*values, 0.0] if zero or not values else values, left, right)
    foot = TOP + ROW * len(figures)
    parts = [f'<text x="{left}" y="20" font-weight="600">{escape(title)}</text>']
    for value in ticks(axis.low, axis.high):
        x = f"{axis.at(value):.1f}"
        kind = "zero" if zero and value == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP}" y2="{foot}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{foot + 18}" text-anchor="middle">{value:,g}</text>')
    for at, (figure, mark) in enumerate(zip(figures, marks, strict=True)):
        if figure:
            parts.append(_point(axis, figure, mark, TOP + ROW * at + ROW / 2))
    return parts


def _axis(values: Sequence[float], left: float, right: float) -> Axis:
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or max(abs(high) * 0.1, 1e-3)
    return Axis(low - margin, high + margin, left, right)


def _point(axis: Axis, figure: Interval | Difference, mark: Mark, y: float) -> str:
    x, bar = axis.at(figure[0]), ""
    if isfinite(figure.low):
        low, high = axis.at(figure.low), axis.at(figure.high)
        bar = f'<line class="bar" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
    shapes = {
        "beats": f"M{x - 6:.1f} {y + 5}L{x:.1f} {y - 6}L{x + 6:.1f} {y + 5}Z",
        "worse": f"M{x - 6:.1f} {y - 5}L{x:.1f} {y + 6}L{x + 6:.1f} {y - 5}Z",
        "the one to beat": f"M{x - 6:.1f} {y}L{x:.1f} {y - 6}L{x + 6:.1f} {y}L{x:.1f} {y + 6}Z",
    }
    circle = f"M{x - 5:.1f} {y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z"
    tip = f"{wording.number(figure[0])} ({wording.span(figure)})"
    path = f'<path class="mark" d="{shapes.get(mark, circle)}"/>'
    return f'<g class="{mark.replace(" ", "-")}"><title>{tip}</title>{bar}{path}</g>'
