"""An alert rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tastemaker.alerting.example import Example
from tastemaker.alerting.expression import Expression

Severity = Literal["page", "ticket", "none"]
"""A page calls the person on call at once, a ticket waits for working hours, none is for machines."""
Cause = Literal[
    "answers", "callers", "data", "drift", "experiments", "features", "jobs", "log", "machine", "models",
    "reward", "service", "traffic", "versions", "watchdog",
]  # fmt: skip
"""What is at fault; alerts of one cause usually belong together."""
Owner = Literal["operations", "recommendations"]
Exporter = Literal["service", "watch"]
"""Which process exports what a rule reads: a service, or `tastemaker watch`."""
Unit = Literal["count", "duration", "none", "share"]
OURS: Final = "tastemaker"
"""The distribution of the rules here."""
RESOLVE_RATIO = 0.8
"""A rule resolves when its value falls below this part of its threshold, so that it does not flap."""


@dataclass(frozen=True)
class Runbook:
    """What the person on call reads."""

    users_notice: str
    how_to_look: str
    what_to_do: str
    how_to_prove: str
    """How to see that it is over."""


@dataclass(frozen=True)
class Condition:
    """When a rule fires, and how long it stays so."""

    fires: Expression
    """Has a value per alert while the rule's condition is true."""
    holds: Expression
    """Has a value per alert while a rule that fired does not resolve: the condition at a lower threshold."""
    words: str
    """The condition in words."""


@dataclass(frozen=True)
class Rule:
    """An alert rule."""

    name: str
    """Lower case with underscores."""
    severity: Severity
    labels: tuple[str, ...]
    """The labels that distinguish the rule's alerts from each other."""
    condition: Condition
    summary: str
    """One sentence with {value} and the labels in braces."""
    unit: Unit
    """Unit of the value."""
    cause: Cause
    owner: Owner
    runbook: Runbook
    for_seconds: float = 0.0
    """How long the condition must be true before an alert fires."""
    keep_firing_seconds: float = 0.0
    """How long the condition must be false before an alert resolves."""
    evaluate_every_seconds: float = 5.0
    """How often the condition is evaluated; less often where it reads long windows."""
    example: Example | None = None
    """One fault as the metrics show it, from which tests are made; None: for the rule that always fires."""
    exporter: Exporter = "service"
    brought_by: str = OURS
    """The distribution that brings the rule."""
    inhibited_by: tuple[str, ...] = ()
    """Rules whose alerts silence this rule's where the labels that both have are equal."""

    @property
    def alert(self) -> str:
        """Name of the alert in Prometheus, such as TastemakerFallbackShare."""
        return alert_name(self.name)

    def text(self, labels: dict[str, str], value: float) -> str:
        """Return the summary of one alert.

        Args:
            labels: The alert's labels, with each that the rule's summary names.
            value: The value of the condition, in the rule's unit.
        """
        return self.summary.format(**labels, value=written(value, self.unit))


def alert_name(rule: str) -> str:
    """Return the name in Prometheus of a rule's alerts.

    >>> alert_name("fallback_share")
    'TastemakerFallbackShare'
    """
    return "Tastemaker" + "".join(part.capitalize() for part in rule.split("_"))


def written(value: float, unit: Unit) -> str:
    """Return a value as Prometheus' templates write it.

    Args:
        value: A share from 0 to 1, a duration in seconds, or a number.
        unit: Which of them it is; `none` is written like a count.

    >>> written(0.0512, "share"), written(5405.5, "duration"), written(12.3, "duration")
    ('5.12%', '1h 30m 5s', '12.3s')
    >>> written(0.0512, "duration")
    '51.2ms'
    """
    if unit == "share":
        return f"{value * 100:.4g}%"
    if unit == "duration" and abs(value) >= 60:
        minutes, seconds = divmod(int(abs(value)), 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
        first = next(place for place, (number, _) in enumerate(parts) if number)
        text = " ".join(f"{number}{letter}" for number, letter in parts[first:])
        return f"-{text}" if value < 0 else text
    if unit == "duration" and 0.001 <= abs(value) < 1:
        return f"{value * 1_000:.4g}ms"
    return f"{value:.4g}s" if unit == "duration" else f"{value:.4g}"
