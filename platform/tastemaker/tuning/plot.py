"""Search result as a PNG: the figures by trial, and by each hyperparameter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.metrics import METRICS
from tastemaker.plugins.search_space import Choice, Search
from tastemaker.tuning.outcome import TuningResult
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY, INK = "#0072b2", "#b84a00", "#d8dee4", "#57606a"
COLUMNS = 3


def draw(found: TuningResult, path: Path) -> None:
    """Write the plot of a search as a PNG, atomically.

    Args:
        found: The search's result.
        path: The PNG file; an older one is replaced.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    name = formatting.title(found.metric, found.k)
    rows = -(-(1 + len(found.space)) // COLUMNS)
    figure = Figure(figsize=(11, 0.9 + 2.7 * rows), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).flatten()
    _history(panels[0], found)
    for axes, (field, mark) in zip(panels[1:], found.space.items(), strict=False):
        _slice(axes, found, field, mark)
    for axes in panels:
        axes.grid(axis="y", color=GREY)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[1 + len(found.space) :]:
        axes.set_visible(False)
    for axes in panels[::COLUMNS]:
        axes.set_ylabel(name, fontsize=9, parse_math=False)
    figure.suptitle(
        f"{found.model}: {len(found.trials)} trials", x=0.01, ha="left", fontweight="bold", parse_math=False
    )
    start, cut, end = found.window
    figure.supxlabel(
        f"Trained on {formatting.days(start, cut)}, evaluated on {formatting.days(cut, end)}; "
        "star: the best trial, diamond: the config before",
        fontsize=8, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    with atomic_write(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # scripts that the font lacks
        canvas.print_figure(partial, dpi=150, format="png")


def _history(axes: Axes, found: TuningResult) -> None:
    """Plot the figure of each trial, and the best so far."""
    from matplotlib.ticker import MaxNLocator

    ended = [(trial.number, trial.value) for trial in found.trials if trial.value is not None]
    numbers, values = zip(*ended, strict=True)
    best = accumulate(values, max if METRICS[found.metric].larger_is_better else min)
    _dots(axes, numbers, values)
    axes.step(numbers, list(best), where="post", color=ORANGE, linewidth=1.5)
    _marked(axes, found, [found.trial_before.number], [found.best.number])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("trial; line: the best so far", loc="left", fontsize=9)


def _slice(axes: Axes, found: TuningResult, field: str, mark: Search | Choice) -> None:
    """Plot the figure of each trial by one hyperparameter."""
    ended = [trial for trial in found.trials if trial.value is not None]

    def place(value: Any) -> Any:
        return mark.values.index(value) if isinstance(mark, Choice) else value

    values = [place(trial.params[field]) for trial in ended]
    _dots(axes, values, [trial.figure for trial in ended])
    _marked(axes, found, [place(found.trial_before.params[field])], [place(found.best.params[field])])
    if isinstance(mark, Choice):
        axes.set_xticks(range(len(mark.values)), [str(value) for value in mark.values], parse_math=False)
        axes.set_xlim(-0.5, len(mark.values) - 0.5)
    elif mark.log:
        _plain(axes)
    axes.set_title(field, loc="left", fontsize=9, parse_math=False)


def _plain(axes: Axes) -> None:
    """Set a logarithmic axis with ticks at 1, 2, 5, 10, ... in decimal notation."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _dots(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    axes.plot(x, y, "o", color=BLUE, alpha=0.5, markersize=5, markeredgewidth=0)


def _marked(axes: Axes, found: TuningResult, base: list[Any], best: list[Any]) -> None:
    axes.plot(base, [found.trial_before.figure], "D", color="#1b1f24", markersize=6)
    axes.plot(best, [found.best.figure], "*", color=ORANGE, markersize=13)
