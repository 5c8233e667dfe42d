"""A run as people watch it: a line per step, live on a terminal, elsewhere as each one ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker_pipelines.run import Listener, Step

SIGNS = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[yellow]–[/]"}
SHOWN = 4
"""Facts per line; the rest are in Dagster."""


@contextmanager
def shown(console: Console) -> Iterator[Listener]:
    """Yield a listener for `run` that shows its progress on `console` while the block lasts."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("  {task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        bar = progress.add_task("starting", total=0)
        started: dict[str, float] = {}

        def on_change(step: Step) -> None:
            if step.state == "waiting":
                progress.update(bar, total=(progress.tasks[bar].total or 0) + 1)
                return
            if step.state == "running":
                started[step.name] = time.monotonic()
                progress.update(bar, description=step.name)
                return
            seconds = time.monotonic() - started.get(step.name, time.monotonic())
            console.print(line(step, seconds), highlight=False, soft_wrap=True)
            progress.advance(bar)

        yield on_change


def line(step: Step, seconds: float) -> str:
    """Return the line of a finished step: its sign, seconds, name and facts, or its error.

    Args:
        step: A step that is done, failed or skipped. At most four of its facts are shown.
        seconds: How long it took; 0.0 if it did not run.
    """
    from rich.markup import escape

    sign = SIGNS[step.state]
    if step.state == "failed":
        return f"  {sign} {seconds:6.1f} s  [bold]{step.name}[/]\n{escape(_indented(step.problem))}"
    short = {
        name: _plain(value)
        for name, value in step.facts.items()
        if isinstance(value, int | float | str) and not name.endswith("warning")
    }
    facts = "  ".join(f"{name} {value}" for name, value in list(short.items())[:SHOWN])
    return f"  {sign} {seconds:6.1f} s  [bold]{step.name:<24}[/] [dim]{escape(facts)}[/]"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _indented(text: str) -> str:
    return "\n".join(f"             {each}" for each in text.splitlines())
