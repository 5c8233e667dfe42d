"""Small alert rules, and readings of them, for tests of the watch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from tastemaker.alerting.conditions import same
from tastemaker.alerting.expressions import Compare, Gauge
from tastemaker.alerting.rule import Cause, Rule, Runbook, Severity
from tastemaker.alerting.series import Labels, metric
from tastemaker.watch.incident import ConditionReading
from tastemaker.watch.routing import Routing
from tastemaker.watch.state_machine import StateMachine

RUNBOOK = Runbook("Nothing.", "Look.", "Act.", "Prove.")
ROUTING = Routing("test", {"page": ("pager",), "ticket": ("team",), "none": ()})
A: Labels = frozenset({("model", "a")})
B: Labels = frozenset({("model", "b")})


def small_rule(
    name: str,
    *,
    severity: Severity = "page",
    labels: tuple[str, ...] = ("model",),
    for_seconds: float = 0,
    keep: float = 0,
    inhibited_by: tuple[str, ...] = (),
    cause: Cause = "answers",
) -> Rule:
    """A rule that fires while the gauge of its name is above 0."""
    return Rule(
        name=name,
        severity=severity,
        labels=labels,
        condition=same(Compare(Gauge(metric(f"tastemaker_{name}")), ">", 0), f"{name} is above 0."),
        summary="{value} of {model}" if "model" in labels else "{value}",
        unit="count",
        cause=cause,
        owner="operations",
        runbook=RUNBOOK,
        for_seconds=for_seconds,
        keep_firing_seconds=keep,
        inhibited_by=inhibited_by,
    )


def reading(
    fires: Iterable[Labels] = (), quiet: Iterable[Labels] = (), holds: Iterable[Labels] = ()
) -> ConditionReading:
    """What a condition says: where it is true, where it is false, where only the lower threshold holds."""
    true, low = dict.fromkeys(fires, 1.0), dict.fromkeys(holds, 0.5)
    data = frozenset(true) | frozenset(low) | frozenset(quiet)
    return ConditionReading(true, true | low, data, data)


def machine(*rules: Rule, routing: Routing = ROUTING) -> StateMachine:
    """A state machine whose identities are 0, 1, 2 ..."""
    numbers = count()
    return StateMachine(rules, routing, new_uid=lambda: str(next(numbers)))
