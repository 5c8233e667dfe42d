"""Display of results: a table and a drawing in a notebook, plain lines in a terminal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup

from tastemaker.plugins.arrays import Int64

WIDTH, HEIGHT = 960, 90
"""Pixels of a timeline's view box."""


class Displayable(ABC):
    """Base class of results that a notebook and a terminal can show."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The result in a few words."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Return facts about the result, in words, by name."""

    def drawing(self) -> Markup:
        """Return an <svg> element; empty for no drawing."""
        return Markup("")

    def __repr__(self) -> str:
        facts = self.facts()
        width = max(map(len, facts), default=0)
        return "\n".join([self.title, *(f"  {name:<{width}}  {value}" for name, value in facts.items())])

    def _repr_html_(self) -> str:
        from tastemaker.html import cell, facts, join

        head = Markup('<p class="summary">{}</p>').format(self.title)
        return cell(join([head, self.drawing(), facts(self.facts())]))


def days(start: int, end: int) -> str:
    """Return the first and last day of [start, end) as text.

    Args:
        start: The start, in seconds since 1970 UTC.
        end: The end, excluded, likewise.

    >>> days(0, 2 * 86_400)
    '1970-01-01 to 1970-01-02'
    """
    return f"{_day(start)} to {_day(end - 1)}"


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def timeline(times: Int64, start: int, cut: int, end: int, bars: int = 120) -> Markup:
    """Return a histogram of events over time as SVG; all times are in seconds since 1970 UTC.

    Args:
        times: int64[n], the times of the events.
        start: The start of the training window.
        cut: The cutoff, from which bars have another colour.
        end: The end of the test period.
        bars: The number of bars.
    """
    edges = np.linspace(start, end, bars + 1)
    counts, _ = np.histogram(times, edges)
    scale = (HEIGHT - 22) / max(counts.max(), 1)
    width = WIDTH / bars
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="events over time">']
    for at, count in enumerate(counts.tolist()):
        kind = "bar-train" if edges[at] < cut else "bar-test"
        parts.append(
            f'<rect class="{kind}" x="{at * width:.1f}" y="{HEIGHT - 20 - count * scale:.1f}" '
            f'width="{width - 1:.1f}" height="{count * scale:.1f}"/>'
        )
    split = (cut - start) / (end - start) * WIDTH
    parts.append(f'<text class="tick" x="0" y="{HEIGHT - 4}">{_day(start)}</text>')
    parts.append(
        f'<text class="tick" x="{split:.1f}" y="{HEIGHT - 4}" text-anchor="middle">{_day(cut)}</text>'
    )
    parts.append(f'<text class="tick" x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{_day(end - 1)}</text>')
    return Markup("\n".join([*parts, "</svg>"]))
