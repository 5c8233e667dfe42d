"""Search result in a terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.results import to_json
from tastemaker.tuning.confirm import Confirmation
from tastemaker.tuning.outcome import TuningResult
from tastemaker.tuning.study import Params, TrialResult

SHOWN = 10
"""Number of trials in the table; all of them are in the JSON and on the plot."""


def to_dict(found: TuningResult) -> dict[str, Any]:
    """Return the result in types that JSON has."""
    start, cut, end = (timestamp.isoformat() for timestamp in found.window)
    return {
        "model": found.model,
        "metric": found.metric,
        "study": found.study,
        "seed": found.seed,
        "space": {name: vars(mark) for name, mark in found.space.items()},
        "trained_from": start,
        "trained_until": cut,
        "evaluated_until": end,
        "trials": [trial._asdict() for trial in found.trials],
        "before": found.base._asdict(),
        "best": found.best._asdict(),
        "config_before": found.before,
        "config": found.config,
        "adopted": found.adopted,
        "why": found.why,
        "confirmation": None if found.confirmation is None else _confirmed(found.confirmation),
        "path": str(found.path),
        "test": {
            "before": to_json(found.base_backtest.metrics[found.metric]),
            "after": to_json(found.backtest.metrics[found.metric]),
            "difference": to_json(found.difference),
            "backtest": found.backtest.id,
        },
    }


def _confirmed(found: Confirmation) -> dict[str, Any]:
    start, cut, end = (timestamp.isoformat() for timestamp in found.window)
    return {
        "trained_from": start,
        "trained_until": cut,
        "evaluated_until": end,
        "fresh": found.fresh,
        "comparisons": found.comparisons,
        "difference": to_json(found.difference),
        "p": found.p,
        "better": found.better,
    }


def line(trial: TrialResult, best: TrialResult | None) -> str:
    """Return a trial in a line, such as `0.2214  best 0.2290  epochs 12, weights log`.

    Args:
        trial: A trial that has ended, measured or failed.
        best: The best trial so far; None: none was measured.
    """
    figure = "failed" if trial.value is None else formatting.number(trial.value)
    record = "" if best is None or best.value is None else f"  best {formatting.number(best.value)}"
    why = f"  {trial.error}" if trial.error else ""
    return f"{figure}{record}  {written(trial.params)}{why}"


def show(found: TuningResult, console: Console) -> None:
    """Print the best trials of a search, and the comparison of both configs on the test period.

    Args:
        found: The search's result.
        console: Where it is printed.
    """
    name = formatting.title(found.metric, found.k)
    start, cut, end = found.window
    console.print(_trials(found, name))
    console.print(
        f"[dim]trained on {formatting.days(start, cut)}, evaluated on {formatting.days(cut, end)}[/dim]\n"
    )
    before, after = (one.metrics[found.metric] for one in (found.base_backtest, found.backtest))
    test = formatting.days(found.backtest.train_end, found.backtest.test_end)
    console.print(f"On {test}, which the search has not seen, {found.backtest.users:,} users:")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("config", name, "95 % interval"):
        table.add_column(head)
    for label, figure in (("before", before), ("found", after)):
        table.add_row(label, formatting.number(figure.value), formatting.span(figure))
    difference = found.difference
    signed = formatting.number(difference.difference, signed=True), formatting.span(difference, signed=True)
    table.add_row("difference, paired", *signed)
    console.print(table)
    console.print(escape(on_the_test_period(found)))
    console.print(f"[bold]{escape(found.why[0].upper() + found.why[1:])}.[/bold]", soft_wrap=True)
    if found.adopted:
        console.print(f"wrote {escape(str(found.path))}; delete it to go back", soft_wrap=True)


def best_first(found: TuningResult) -> list[TrialResult]:
    """Return the trials that ended with a figure, the best first."""
    ended = [trial for trial in found.trials if trial.value is not None]
    ended.sort(key=lambda trial: trial.figure, reverse=METRICS[found.metric].larger_is_better)
    return ended


def _trials(found: TuningResult, name: str) -> Table:
    ended = best_first(found)
    failed = len(found.trials) - len(ended)
    title = f"{found.model}: the best {min(SHOWN, len(ended))} of {len(found.trials)} trials"
    title += f", {failed} failed" if failed else ""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for head in ("trial", name, "config"):
        table.add_column(head, overflow="fold")
    shown = ended[:SHOWN]
    before = found.trial_before
    if before not in shown:
        shown.append(before)
    for trial in shown:
        number = f"{trial.number}, before" if trial == before else str(trial.number)
        style = "bold" if trial == found.best else ""
        table.add_row(number, formatting.number(trial.figure), written(trial.params), style=style)
    return table


def on_the_test_period(found: TuningResult) -> str:
    """Return the comparison on the test period in words; it is for information only."""
    if found.confirmation is None:
        return "Both configs are the same."
    low, high = found.difference.low, found.difference.high
    if not METRICS[found.metric].larger_is_better:
        low, high = -high, -low
    if low > 0:
        return "On the test period, the config found is significantly better."
    return (
        "On the test period, the config found is significantly worse."
        if high < 0
        else "On the test period, the two configs do not differ significantly."
    )


def written(params: Params) -> str:
    """Return hyperparameters in words, such as `epochs 12, weights log`."""
    return ", ".join(f"{name} {_value(value)}" for name, value in params.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
