"""Looks and plans in lines for a terminal, and looks as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from tastemaker.experiments.analysis.awaited import awaited_words
from tastemaker.experiments.analysis.comparison import LookEffect
from tastemaker.experiments.analysis.look import Look
from tastemaker.experiments.analysis.planner import TRAFFIC, TrafficPlan

_SHOWN = ("primary", "guardrail", "secondary")
_TITLES = ["role", "metric", "variant", "", "control", "value", "difference", "interval", "verdict"]


def as_plain(look: Look) -> dict[str, Any]:
    """Return a look as values that JSON has, apart from its times."""
    plain = {one.name: getattr(look, one.name) for one in fields(look)}
    return plain | {"effects": [one._asdict() for one in look.effects]}


def in_lines(look: Look) -> Iterator[str]:
    """Yield the result, what casts doubt on it, and the effects over all units."""
    yield look.sentence
    yield ""
    counted = ", ".join(f"{name} {units:,}" for name, units in look.units.items())
    yield f"mature units   {counted}; pending {look.pending_units:,}, in two variants {look.crossed_units:,}"
    if look.ratio_p is not None and look.ratio_anytime_p is not None:
        yield f"sample ratio   p {look.ratio_p:.3g}, on any day {look.ratio_anytime_p:.3g}"
    until = f"{look.log_until:%Y-%m-%d %H:%M} UTC"
    yield f"information    {100 * look.information:.1f} % of the plan; the log reaches {until}"
    for late in look.details.get("waiting", []):
        yield f"waiting for    {awaited_words(late)}"
    for warning in look.details.get("warnings", []):
        yield f"! {warning}"
    for reason in look.details.get("reasons", []):
        divided = ", ".join(f"{name} {units:,}" for name, units in reason["units"].items())
        yield f"! {reason['group']}: {divided} (p = {reason['p']:.2g})"
    shown = [one for one in look.effects if one.role in _SHOWN and not one.slice]
    if shown:
        yield ""
        yield from _table(_TITLES, [_cells(one) for one in shown])


def plan_lines(plan: TrafficPlan) -> Iterator[str]:
    """Yield what the log says about a design, and the smallest effect by day and traffic."""
    yield plan.sentence
    yield ""
    explained = f"{100 * plan.correlation**2:.0f} % of the variance"
    yield (
        f"{plan.metric}: mean {plan.mean:.4g}, standard deviation {plan.deviation:.4g}, over "
        f"{plan.mature_users:,} users; what they did before explains {explained}"
    )
    yield f"the looks need {plan.factor:.3f} times the users of a single look"
    yield ""
    titles = ["days", *(f"users, {100 * share:g} % of the traffic" for share in TRAFFIC)]
    rows = []
    for one in plan.by_day:
        cells = [_effect(one.units[share], one.relative[share]) for share in TRAFFIC]
        rows.append([str(one.days), *cells])
    yield from _table(titles, rows)


def _effect(units: int, relative: float | None) -> str:
    return f"{units:,}" if relative is None else f"{units:,}: effects from {100 * relative:.1f} %"


def _cells(one: LookEffect) -> list[str]:
    kind = "adjusted" if one.is_adjusted else "raw"
    ends = "" if one.low is None or one.high is None else f"{one.low:+.4g} to {one.high:+.4g}"
    figures = [_figure(one.control_value), _figure(one.value), _figure(one.difference, "+"), ends]
    return [one.role, one.metric, one.variant, kind, *figures, one.verdict or ""]


def _figure(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4g}"


def _table(titles: list[str], rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
