"""A feature ablation as a plot, a page that works offline, a table for the terminal, and JSON."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tastemaker.evaluation import results
from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.robustness.ablation import Ablation, Feature
from tastemaker.html import Page, below, embedded, render, table
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tastemaker.stats.bootstrap import Difference

BLUE, ORANGE, GREY = "#0072b2", "#b84a00", "#57606a"
CHANCE = 20
"""One in so many 95 % intervals excludes 0 by chance."""


def to_dict(found: Ablation) -> dict[str, Any]:
    """Return the ablation in types that JSON has."""
    return asdict(found) | {
        "figure": results.to_json(found.figure),
        "features": [
            one._asdict()
            | {
                "figure": results.to_json(one.figure),
                "gain": results.to_json(one.gain),
                "milliseconds": results.to_json(one.milliseconds),
            }
            for one in found.features
        ],
    }


def summary(found: Ablation) -> str:
    """Return the result in sentences."""
    name = formatting.title(found.metric, found.k)
    by_verdict = {
        verdict: [one.name for one in found.features if one.verdict == verdict]
        for verdict in ("helps", "hurts", "no difference found")
    }
    n = len(found.features)
    said = (
        f"{found.model} has {name} {formatting.number(found.figure.value)} with all features and takes "
        f"{found.milliseconds:.2f} ms of CPU time per request. {_listed('help', by_verdict['helps'], n)} "
        f"{_listed('hurt', by_verdict['hurts'], n)}"
    )
    if n >= CHANCE:
        said += f" Of {n} comparisons, {n / CHANCE:.0f} or so exclude 0 by chance."
    return said


def _listed(verb: str, names: list[str], n: int) -> str:
    if not names:
        return f"None of {n} significantly {verb}s."
    return f"{len(names)} of {n} significantly {verb}{'s' if len(names) == 1 else ''}: {', '.join(names)}."


def terminal(found: Ablation) -> str:
    """Return the summary and one line per feature."""
    width = max(len(one.name) for one in found.features)
    name = formatting.title(found.metric, found.k)
    lines = [
        f"{one.name:<{width}}  {formatting.number(one.gain.difference, signed=True):>8}"
        f"  {formatting.span(one.gain, signed=True):<22}  {_cost(one):>9}  {one.verdict}"
        for one in found.features
    ]
    head = f"{'feature':<{width}}  {'gain':>8}  {'95 % interval':<22}  {'ms':>9}  in {name}"
    return "\n".join([summary(found), "", head, *lines])


def draw(found: Ablation, path: Path) -> None:
    """Write the plot as a PNG, atomically: gains with intervals on the left, costs on the right.

    Args:
        found: The ablation, with at least one feature.
        path: The PNG file; an older one is replaced.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = found.features[::-1]
    figure = Figure(figsize=(10, 1.4 + 0.24 * len(rows)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for at, one in enumerate(rows):
        colour = {"helps": BLUE, "hurts": ORANGE}.get(one.verdict, GREY)
        _interval(left, at, one.gain, colour, "o" if one.verdict != "hurts" else "s")
        _interval(right, at, one.milliseconds, GREY, "D")
    left.set_ylim(-0.7, len(rows) - 0.3)
    left.set_yticks(range(len(rows)), [one.name for one in rows], fontsize=8, parse_math=False)
    name = formatting.title(found.metric, found.k)
    left.set_title(
        f"{name} that the feature adds to {found.model}", loc="left", fontsize=10, parse_math=False
    )
    right.set_title("CPU milliseconds that it adds per request", loc="left", fontsize=10)
    for axes in (left, right):
        axes.axvline(0, color="#1b1f24", linewidth=1, zorder=0)
        axes.grid(axis="x", color="#d8dee4")
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        "All features minus all but this one, with 95 % intervals; blue circle: helps, orange square: hurts",
        fontsize=8, color=GREY, x=0.01, ha="left",
    )  # fmt: skip
    with atomic_write(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # scripts that the font lacks
        canvas.print_figure(partial, dpi=150, format="png")


def _interval(axes: Axes, at: int, found: Difference, colour: str, shape: str) -> None:
    axes.plot([found.low, found.high], [at, at], color=colour, linewidth=1.5)
    axes.plot(found.difference, at, marker=shape, color=colour, markersize=5)


def write_page(found: Ablation, picture: Path, path: Path) -> None:
    """Write the page of an ablation. It has no script and needs nothing from the network.

    Args:
        found: The ablation, with at least one feature.
        picture: The PNG file of the plot.
        path: The page's file.
    """
    page = render(
        Page(
            title=f"Feature ablation: {found.model}, {found.problem}",
            summary=summary(found),
            rows=f"{found.users:,} test users, {found.features[0].milliseconds.n:,} timed requests",
            made_at=datetime.now(UTC),
            body=_body(found, picture),
        )
    )
    with atomic_write(path) as partial:
        partial.write_text(page, "utf-8")


def _body(found: Ablation, picture: Path) -> Markup:
    name = formatting.title(found.metric, found.k)
    return Markup("""{}
{}
<p class="basis">Each row: the model is fitted again without this one feature, and both answer the same users.
Two features that say the same each add nothing here, although the model may need one of them: leave them out
one after the other, not both at once.</p>""").format(
        embedded(picture, f"What each feature adds to {name}, and what it costs"),
        table(
            ["Feature", "Gain", f"{name} without it", "CPU ms per request", "Verdict"],
            [
                [
                    one.name,
                    below(
                        formatting.number(one.gain.difference, signed=True),
                        formatting.span(one.gain, signed=True),
                    ),
                    formatting.number(one.figure.value),
                    _cost(one),
                    one.verdict,
                ]
                for one in found.features
            ],
            classes={0: "name"},
        ),
    )


def _cost(one: Feature) -> str:
    return f"{one.milliseconds.difference:+.3f}".replace("-", "−")
