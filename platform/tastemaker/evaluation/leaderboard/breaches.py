"""Guardrails that a model breaches: overall, and by its losses within slices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tastemaker.evaluation.results import Backtest
from tastemaker.evaluation.slices import Slice, limit_of, lost
from tastemaker.problem import ProblemSpec


class Breach(NamedTuple):
    """Guardrail that a model breaches."""

    metric: str
    value: float
    """The model's figure; in a slice, its difference from the baseline in the metric's unit."""
    limit: float
    side: Literal["at least", "at most"]
    slice: str | None = None
    """The slice of the guardrail, such as users=new; None: overall."""


def overall_breaches(backtest: Backtest, problem: ProblemSpec) -> tuple[Breach, ...]:
    """Return the guardrails that a model breaches over all users.

    Args:
        backtest: Has the model's figures; one that is not a number breaches every guardrail.
        problem: Gives the guardrails.
    """
    found = []
    for guardrail in problem.guardrails:
        value = backtest.metrics[guardrail.metric].value
        if guardrail.at_least is not None and not value >= guardrail.at_least:
            found.append(Breach(guardrail.metric, value, guardrail.at_least, "at least"))
        if guardrail.at_most is not None and not value <= guardrail.at_most:
            found.append(Breach(guardrail.metric, value, guardrail.at_most, "at most"))
    return tuple(found)


def slice_breaches(at: int, slices: tuple[Slice, ...], problem: ProblemSpec) -> Iterator[Breach]:
    """Yield the slices in which a model loses more than the problem allows.

    Args:
        at: The model's place among the rows of each slice.
        slices: The comparisons within slices, in the problem's metric.
        problem: Gives the largest loss of each slice.
    """
    for one in slices:
        limit, row = limit_of(one, problem.slices.max_loss), one.rows[at]
        if limit is not None and row.difference is not None and lost(row, limit):
            yield Breach(problem.metric, row.difference.difference, -limit, "at least", one.name)
