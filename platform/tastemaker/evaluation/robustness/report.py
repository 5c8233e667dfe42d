"""Learning curves and staleness of some models as one PNG and one page that works offline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from markupsafe import Markup

from tastemaker.evaluation import results
from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.robustness import staleness
from tastemaker.evaluation.robustness.learning_curve import LearningCurve
from tastemaker.evaluation.robustness.staleness import MAX_LOSS, Staleness
from tastemaker.html import Page, below, embedded, render, table
from tastemaker.stats.bootstrap import Difference
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = (
    ("#0072b2", "o"),
    ("#b84a00", "s"),
    ("#008060", "^"),
    ("#8a4b8f", "D"),
    ("#8a6d00", "v"),
    ("#1b1f24", "P"),
)
"""Colour and shape of each model in turn; six models have distinct shapes."""
SHIFT = 0.12
"""Distance between the bars of several models at one place, in weeks."""


class Curves(NamedTuple):
    """Learning curve and staleness of one model."""

    learning: LearningCurve
    staleness: Staleness


def to_dict(found: Curves) -> dict[str, Any]:
    """Return the curves in types that JSON has."""
    learning = found.learning
    return {
        "model": learning.model,
        "metric": learning.metric,
        "learning": [
            {
                "days": point.days,
                "figure": results.to_json(point.figure),
                "from_whole": point.from_whole and results.to_json(point.from_whole),
                "backtest": point.backtest,
            }
            for point in learning.points
        ],
        "enough_days": learning.enough,
        "better_days": learning.better and learning.better.days,
        "staleness": staleness.to_dict(found.staleness),
    }


def draw(found: Sequence[Curves], path: Path) -> None:
    """Write learning curves and staleness of some models side by side as a PNG, atomically.

    Args:
        found: At least one model, all with the same metric and k.
        path: The PNG file; an older one is replaced.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for at, one in enumerate(found):
        colour, shape = STYLES[at % len(STYLES)]
        _learning(left, one.learning, colour, shape)
        _staleness(right, one.staleness, colour, shape, (at - (len(found) - 1) / 2) * 7 * SHIFT)
    name = formatting.title(found[0].learning.metric, found[0].learning.k)
    _history_axis(left, [point.days for one in found for point in one.learning.points])
    left.set_title(f"{name} by days of history", loc="left", fontsize=10, parse_math=False)
    left.set_xlabel("days of the training window used, its last ones", fontsize=9)
    right.set_title(f"{name} lost without retraining", loc="left", fontsize=10, parse_math=False)
    right.set_xlabel("days since training, compared with the retrained model", fontsize=9)
    ages = sorted({week.age_days for one in found for week in one.staleness.weeks})
    right.set_xticks(ages[:: -(-len(ages) // 10)])
    right.axhline(0, color="#57606a", linewidth=1, zorder=0)
    for axes in (left, right):
        axes.grid(axis="y", color="#d8dee4")
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(
        *left.get_legend_handles_labels(), loc="outside upper left", ncols=8, frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.supxlabel(
        "Means over users with 95 % intervals; losses are paired; line: the loss per week",
        fontsize=8, color="#57606a", x=0.01, ha="left",
    )  # fmt: skip
    with atomic_write(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # scripts that the font lacks
        canvas.print_figure(partial, dpi=150, format="png")


def _learning(axes: Axes, curve: LearningCurve, colour: str, shape: str) -> None:
    days = [point.days for point in curve.points]
    figures = [point.figure for point in curve.points]
    low, high = [one.low for one in figures], [one.high for one in figures]
    axes.fill_between(days, low, high, color=colour, alpha=0.12, linewidth=0)
    values = [one.value for one in figures]
    axes.plot(days, values, marker=shape, color=colour, markersize=6, label=curve.model)


def _history_axis(axes: Axes, days: Sequence[int]) -> None:
    """Set a logarithmic axis of base 2, labelled by days."""
    from matplotlib.ticker import NullLocator

    ticks = sorted(set(days))
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def _staleness(axes: Axes, found: Staleness, colour: str, shape: str, shift: float) -> None:
    for week in found.weeks[1:]:
        x = week.age_days + shift
        axes.plot([x, x], [week.loss.low, week.loss.high], color=colour, linewidth=1.5)
        axes.plot(x, week.loss.difference, marker=shape, color=colour, markersize=5)
    ages = np.array([0, found.observed_days])
    axes.plot(ages, found.loss_per_week.value * ages / 7, color=colour, linewidth=1.2)
    axes.fill_between(
        ages, found.loss_per_week.low * ages / 7, found.loss_per_week.high * ages / 7,
        color=colour, alpha=0.1, linewidth=0,
    )  # fmt: skip


def write_page(found: Sequence[Curves], picture: Path, path: Path) -> None:
    """Write the page of learning curves and staleness. It has no script and needs nothing from the network.

    Args:
        found: The curves, one entry per model.
        picture: The PNG file of the plot.
        path: The page's file.
    """
    page = render(
        Page(
            title=f"Learning curves and staleness: {found[0].staleness.problem}",
            summary="\n".join(summary(one) for one in found),
            rows=basis(found),
            made_at=datetime.now(UTC),
            body=_body(found, picture),
        )
    )
    with atomic_write(path) as partial:
        partial.write_text(page, "utf-8")


def _body(found: Sequence[Curves], picture: Path) -> Markup:
    name = formatting.title(found[0].learning.metric, found[0].learning.k)
    return Markup("""{}
<h2>Learning curve</h2>
{}
<h2>Staleness</h2>
{}
<p class="basis">Stale: the version with the histories, the users and the items of the day of its training;
the items that may be shown and the user features are of the day of the request. Both models answer the same
users of the same week. The loss per week is the line through 0 that fits all weeks best; its interval is a
bootstrap over users.</p>""").format(
        embedded(picture, f"{name} by days of history, and the loss without retraining"),
        table(
            ["Model", "Days of history", name, "Difference from the whole window"],
            _learning_rows(found),
            classes={0: "name"},
        ),
        table(
            ["Model", "Days since training", "Retrained", "Stale", "Loss"],
            _staleness_rows(found),
            classes={0: "name"},
        ),
    )


def basis(found: Sequence[Curves]) -> str:
    """Return the numbers of users and the periods behind the figures."""
    points, stale = found[0].learning.points, found[0].staleness
    compared = points[0].from_whole
    users = f"{compared.n:,} users" if compared else "the users"
    last = stale.trained_until + timedelta(days=stale.observed_days + 7)
    return (
        f"{users} of the test period, after {points[-1].days:,} days of history; "
        f"for staleness at most {max(week.loss.n for week in stale.weeks):,} users in each of "
        f"{len(stale.weeks)} weeks, {formatting.days(stale.trained_until, last)}"
    )


def summary(found: Curves) -> str:
    """Return both results in two sentences."""
    learning, stale = found.learning, found.staleness
    whole = learning.points[-1].days
    better = learning.better
    if better is not None and better.from_whole is not None:
        gain = formatting.number(better.from_whole.difference, signed=True)
        gain += f" ({formatting.span(better.from_whole, signed=True)})"
        needs = f"is better with the last {better.days} days of history than with all {whole}: {gain}"
    elif not learning.known:
        least = min((one.from_whole for one in learning.points if one.from_whole), key=lambda one: one.n)
        needs = f"has no learning curve over its {whole} days of history: {least.why_none()}"
    elif learning.enough == whole:
        needs = f"needs its whole history, {whole} days"
    else:
        days = f"the last {learning.enough} days of history than with all {whole}"
        needs = f"is not significantly worse with {days}"
    rate = stale.loss_per_week
    loss = f"{formatting.number(rate.value, signed=True)} per week ({formatting.span(rate, signed=True)})"
    return f"{found.learning.model} {needs}. Without retraining it loses {loss}: {until(stale)}."


def until(found: Staleness, share: float = MAX_LOSS) -> str:
    """Return when a share of the figure is lost, such as `5 % of its figure after 23 days (19 to 31)`.

    Args:
        found: The losses of one model by week.
        share: The share of a retrained model's figure.
    """
    days, lost = found.days_until(share), f"{share * 100:g} % of its figure"
    if days.value is None:
        return f"{lost} not within the {found.observed_days} days evaluated"
    low, high = "0" if days.low is None else f"{days.low:.0f}", f"{days.high:.0f}" if days.high else "later"
    return f"{lost} after {days.value:.0f} days ({low} to {high})"


def _learning_rows(found: Sequence[Curves]) -> list[list[str]]:
    return [
        [
            one.learning.model,
            str(point.days),
            below(formatting.number(point.figure.value), formatting.span(point.figure)),
            "" if point.from_whole is None else _signed(point.from_whole),
        ]
        for one in found
        for point in one.learning.points
    ]


def _staleness_rows(found: Sequence[Curves]) -> list[list[str]]:
    return [
        [
            one.staleness.model,
            str(week.age_days),
            formatting.number(week.fresh),
            formatting.number(week.stale),
            _signed(week.loss),
        ]
        for one in found
        for week in one.staleness.weeks
    ]


def _signed(difference: Difference) -> Markup:
    value = formatting.number(difference.difference, signed=True)
    return below(value, formatting.span(difference, signed=True))
