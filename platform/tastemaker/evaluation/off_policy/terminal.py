"""Diagnostics and forecast of an off-policy evaluation in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tastemaker.evaluation.leaderboard.formatting import number, span
from tastemaker.evaluation.off_policy.diagnostics import (
    MAX_MEAN_ERRORS,
    MAX_MEAN_OFF,
    MAX_UNSUPPORTED,
    MIN_EFFECTIVE,
    MIN_REWARDED,
    MIN_ROUNDS,
    Diagnostics,
)
from tastemaker.evaluation.off_policy.platform_log.forecast import Forecast, ForecastInputs

TITLES = {
    "logged": "as served",
    "against": "compared with (SNIPS)",
    "direct_method": "direct method",
    "dr": "doubly robust",
    "switch_dr": "switch-DR",
    "ips": "IPS",
    "clipped_ips": "clipped IPS",
    "snips": "SNIPS",
    "replay": "replay",
}


def show_diagnostics(inputs: ForecastInputs, console: Console) -> None:
    """Print which requests are used, and the diagnostics of their log for the version.

    Args:
        inputs: What `forecast.prepare` returned.
        console: Where it is printed.
    """
    log, version = inputs.requests.log, inputs.version
    console.print(f"[bold]{escape(version.model)}[/bold] {escape(version.id)}", soft_wrap=True)
    console.print(f"{log.n_rounds:,} requests with {len(log):,} impressions")
    for reason, count in inputs.requests.left_out.items():
        console.print(f"[dim]left out: {count:,} {escape(reason)}[/dim]")
    rows = [(name, found, needed) for name, found, needed in _rows(inputs.diagnostics)]
    console.print(_table(("diagnostic", "value", "must be"), rows))
    bins = [
        (f"{each.pairs:,}", f"{each.predicted:.4f}", f"{each.observed:.4f}", f"{each.worst:.1f}")
        for each in inputs.diagnostics.calibration
    ]
    console.print(
        _table(("pairs of item and position", "propensity", "shown", "worst, in std. errors"), bins)
    )


def show_forecast(forecast: Forecast, console: Console) -> None:
    """Print the estimates and the uplift of a forecast.

    Args:
        forecast: What `forecast.compute` returned.
        console: Where it is printed.
    """
    rows = [
        (TITLES.get(name, name), number(interval.value), span(interval))
        for name, interval in forecast.estimates.items()
    ]
    console.print(_table(("reward per request", "value", "95 % interval"), rows))
    uplift = forecast.uplift
    rival = "what was served" if forecast.against_id is None else forecast.against_id
    console.print(
        f"Uplift over {escape(rival)}: [bold]{number(uplift.difference, signed=True)}[/bold] per request, "
        f"95 % interval {span(uplift, signed=True)}",
        soft_wrap=True,
    )


def _rows(found: Diagnostics) -> list[tuple[str, str, str]]:
    mean = f"{found.mean_weight:.3f} ± {found.mean_weight_error:.3f}"
    lacking = "unknown" if found.unsupported is None else f"{found.unsupported:.1%}"
    near = f"1, within {MAX_MEAN_ERRORS:g} std. errors or {MAX_MEAN_OFF:g}"
    return [
        ("effective sample size", f"{found.effective_sample_size:,.0f}", f"at least {MIN_EFFECTIVE:g}"),
        ("matching impressions (weight above 0)", f"{found.matched:,}", ""),
        ("rewarded matching impressions", f"{found.rewarded:,}", f"at least {MIN_REWARDED}"),
        ("rewarded effective size", f"{found.rewarded_effective_size:,.1f}", f"at least {MIN_REWARDED}"),
        ("lists", f"{found.rounds:,}", f"at least {MIN_ROUNDS}"),
        ("mean weight", mean, near),
        ("probability of items never logged there", lacking, f"at most {MAX_UNSUPPORTED:.0%}"),
        ("99th percentile of the weights", f"{found.p99_weight:.2f}", ""),
        ("greatest weight", f"{found.max_weight:.2f}", ""),
        ("weight of the heaviest 1 %", f"{found.top_percent_share:.0%}", ""),
        ("impressions with propensity 1", f"{found.certain:.0%}", "below 100 %"),
    ]


def _table(heads: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
