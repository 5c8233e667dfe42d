"""A simulation's summary, and a verdict on a client log, for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from tastemaker.simulator.traffic.audit import LogAudit
    from tastemaker.simulator.traffic.statistics import Summary

_SHOWN_IDS = 3


def show(summary: Summary, console: Console) -> None:
    """Print the summary as a table: first the service's figures, then the users' actions.

    Args:
        summary: The summary of a simulation.
        console: Where it is printed.
    """
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    for name, value in _rows(summary):
        table.add_row(f"[bold]{name}[/]", value)
    console.print(table)


def show_verdict(verdict: LogAudit, console: Console) -> None:
    """Print the counts of an audit, and the first few ids of each kind of difference.

    Args:
        verdict: The differences between the client log and the logs.
        console: Where they are printed.
    """
    console.print(
        f"feedback: {verdict.acknowledged:,} events acknowledged, {len(verdict.lost_events):,} lost, "
        f"{len(verdict.doubled_events):,} doubled, {verdict.late_truths:,} logged though given up"
    )
    console.print(
        f"answers:  {verdict.answered:,} given, {len(verdict.lost_answers):,} not logged, "
        f"{len(verdict.doubled_answers):,} doubled, {len(verdict.altered_answers):,} logged otherwise"
    )
    for name in ("lost_events", "doubled_events", "lost_answers", "doubled_answers", "altered_answers"):
        if ids := getattr(verdict, name):
            more = f" and {len(ids) - _SHOWN_IDS:,} more" if len(ids) > _SHOWN_IDS else ""
            console.print(f"[red]{name.replace('_', ' ')}:[/] {', '.join(ids[:_SHOWN_IDS])}{more}")


def _rows(summary: Summary) -> list[tuple[str, str]]:
    rows = [
        ("requests", f"{summary.requests:,} in {summary.seconds:.1f} s, {summary.requests_per_second:,.0f}/s")
    ]
    for path, statuses in summary.statuses.items():
        latency = summary.latency_ms.get(path)
        speed = f"   p50 {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms" if latency else ""
        rows.append((f"  {path}", _counts(statuses) + speed))
    rows.append(("lists from", _counts(summary.stages) or "nowhere"))
    rows += [("", f"{model}: {n:,}") for model, n in summary.models.items()]
    if summary.fallbacks:
        rows.append(("  fallbacks", _counts(summary.fallbacks)))
    rows.append(("without a list", f"{summary.failed:,}"))
    rows.append(("visits", f"{summary.visits:,} on {len(summary.days):,} days of the shop"))
    empty = "; no user is left" if summary.deserted else ""
    people = f"{summary.users:,}, {summary.came_back:,} came back, {summary.left:,} left for good{empty}"
    rows.append(("people", people))
    rate = (
        "" if summary.click_rate is None else f", {summary.click_rate:.2%} of {summary.impressions:,} shown"
    )
    truth = summary.expected_click_rate
    worth = "" if truth is None else f" (to be expected of these lists: {truth:.2%})"
    rows.append(("clicks", f"{summary.clicks:,}{rate}{worth}"))
    rows.append(("purchases", f"{summary.purchases:,} for {summary.revenue:,.2f}"))
    rows.append(
        (
            "events",
            f"{summary.events_acknowledged:,} acknowledged, {summary.duplicates:,} known already, "
            f"{summary.events_abandoned:,} given up",
        )
    )
    if summary.items_launched or summary.items_withdrawn:
        first = summary.first_shown_seconds
        shown = f", {summary.launched_shown:,} shown" + (
            f", the fastest after {first:.1f} s" if first else ""
        )
        rows.append(
            ("items", f"{summary.items_launched:,} launched{shown}; {summary.items_withdrawn:,} withdrawn")
        )
    return [*rows, ("client log", summary.client_log)]


def _counts(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{name}: {n:,}" for name, n in counts.items())
