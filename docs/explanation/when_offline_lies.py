"""Executes `when-offline-lies.md`, and draws its pictures from what its blocks left behind.

    python docs/explanation/when_offline_lies.py            report where page and output differ
    python docs/explanation/when_offline_lies.py --write   write the output into the page, redraw the pictures

A picture carries the figures that it was drawn from in its metadata, so that a test can compare them.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = Path(__file__).with_name("when-offline-lies.md")
IMAGES = PAGE.parents[1] / "images"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
BLUE, ORANGE, GREY, BLACK = "#0072b2", "#b84a00", "#8c959f", "#1b1f24"

Figures = dict[str, Any]
Namespace = dict[str, Any]


def execute(page: str, name: str = PAGE.name) -> tuple[str, Namespace]:
    """Run a page's blocks, and return the page with what they print now, and their variables.

    Args:
        page: The text of the page.
        name: Its file, for tracebacks.
    """
    namespace: Namespace = {"__name__": "page"}

    def run(found: re.Match[str]) -> str:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(found[1], name, "exec"), namespace)
        output = "" if found[2] is None else f"```text\n{printed.getvalue()}```\n"
        return f"```python\n{found[1]}```\n{output}"

    return BLOCK.sub(run, page), namespace


def figures(namespace: Namespace) -> dict[str, Figures]:
    """Return what is drawn in each picture, rounded to what can be seen in it."""
    earned = {name: (truth, *found) for name, (truth, found) in namespace["position"].items()}
    repeats = {f"{name}, {allowed}": two for (name, allowed), two in namespace["repeats"].items()}
    found = {
        "position": {"truth": namespace["truth"], "ctr": namespace["ctr"], **earned},
        "popularity": {
            **namespace["popularity"],
            **{f"log {name}": of for name, of in namespace["by_log"].items()},
        },
        "repeats": repeats,
        "leakage": namespace["leakage"],
    }
    return {
        picture: {name: [round(float(one), 3) for one in values] for name, values in drawn.items()}
        for picture, drawn in found.items()
    }


def draw(name: str, drawn: Figures, path: Path) -> None:
    """Write one picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen: list[Callable[[Axes, Figures], None]] = PANELS[name]
    figure = Figure(figsize=(2.4 + 2.6 * len(chosen), 3), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        panel(axes, drawn)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8.5)
    with atomic_write(path) as partial:
        canvas = FigureCanvasAgg(figure)
        canvas.print_figure(partial, dpi=130, format="png", metadata={"figures": json.dumps(drawn)})


def _banners(axes: Axes, drawn: Figures) -> None:
    for at, (truth, ctr) in enumerate(zip(drawn["truth"], drawn["ctr"], strict=True)):
        axes.plot([0, 1], [truth, ctr], "o-", color=(BLUE, GREY, GREY, ORANGE)[at])
        axes.text(-0.05, truth, f"banner {at + 1}", ha="right", va="center", fontsize=8.5)
    axes.set_xticks([0, 1], ["P(click | examined)\nthe truth", "clicks per showing\nin the log"])
    axes.set_xlim(-0.6, 1.2)
    axes.set_title("The log turns the order round", loc="left", fontsize=10)


def _policies(axes: Axes, drawn: Figures) -> None:
    names = [name for name in drawn if name.startswith("by ")]
    for at, name in enumerate(names):
        truth, value, low, high = drawn[name]
        axes.plot([low, high], [at, at], color=BLUE, linewidth=2)
        axes.plot(value, at, "o", color=BLUE, label="SNIPS, 95 % interval" if at == 0 else None)
        axes.plot(truth, at, "D", color=BLACK, markersize=5, label="truth" if at == 0 else None)
    axes.set_yticks(range(len(names)), [name.replace(" clicks", "\nclicks") for name in names])
    axes.set_ylim(-0.5, len(names))
    axes.set_title("Clicks per visit, ordered", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _scatter(axes: Axes, drawn: Figures) -> None:
    for name, values in drawn.items():
        if name.startswith("log "):
            continue
        ndcg, clicks = values
        axes.plot(ndcg, clicks, "D", color=BLACK, markersize=5, label="truth" if name == "random" else None)
        axes.text(ndcg + 0.012, clicks, name, va="center", fontsize=8.5)
        if f"log {name}" in drawn:
            value, low, high = drawn[f"log {name}"]
            axes.plot([ndcg, ndcg], [low, high], color=BLUE, linewidth=2)
            label = "SNIPS from a log of random lists, 95 % interval" if name == "popularity" else None
            axes.plot(ndcg, value, "o", color=BLUE, label=label)
    axes.set(xlim=(0, 0.58), ylim=(0, 1.4))
    axes.set_xlabel("NDCG@10, measured by views without recommendations", fontsize=8.5)
    axes.set_ylabel("clicks per list", fontsize=8.5)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _bars(title: str, column: int, colour: str, kind: str = "") -> Callable[[Axes, Figures], None]:
    """Return a function that draws one column of the figures whose names end with `kind` as bars."""

    def panel(axes: Axes, drawn: Figures) -> None:
        values = {name.removesuffix(kind): of[column] for name, of in drawn.items() if name.endswith(kind)}
        bars = axes.barh(list(values), list(values.values()), color=colour)
        axes.bar_label(bars, [f"{value:.2f}" for value in values.values()], padding=3, fontsize=8.5)
        axes.set_xlim(0, max(values.values()) * 1.25)
        axes.set_xticks([])
        axes.invert_yaxis()
        axes.set_title(title, loc="left", fontsize=9)

    return panel


PANELS: dict[str, list[Callable[[Axes, Figures], None]]] = {
    "position": [_banners, _policies],
    "popularity": [_scatter],
    "repeats": [
        _bars("NDCG@10, repeats allowed", 0, GREY, ", True"),
        _bars("added per 100 lists (truth)", 1, BLACK, ", True"),
        _bars("NDCG@10, not allowed", 0, BLUE, ", False"),
        _bars("added per 100 lists (truth)", 1, BLACK, ", False"),
    ],
    "leakage": [
        _bars("NDCG@10, split at random", 0, GREY),
        _bars("NDCG@10, split by time", 1, BLUE),
        _bars("true hits a list, next month", 2, BLACK),
    ],
}


def main() -> None:
    """Compare the page with its output, or write both the page and the pictures."""
    page = PAGE.read_text("utf-8")
    now, namespace = execute(page)
    if "--write" in sys.argv[1:]:
        with atomic_write(PAGE) as partial:
            partial.write_text(now, "utf-8")
        for name, drawn in figures(namespace).items():
            draw(name, drawn, IMAGES / f"lie_{name}.png")
    elif now != page:
        sys.exit(f"{PAGE} is not what its code prints: run with --write and look at the difference")


if __name__ == "__main__":
    main()
