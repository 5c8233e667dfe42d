"""Alerts that call by day only, since what they report can wait until the morning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.example import Example, Track
from tastemaker.alerting.expression import Expression, Values
from tastemaker.alerting.rule import Condition, alert_name
from tastemaker.alerting.series import Labels, Selector, SeriesByName, metric
from tastemaker.util.durations import DAY_SECONDS

HOUR = 3_600


@dataclass(frozen=True)
class ByDay(Expression):
    """A condition whose alerts begin by day, and last by night as well.

    Prometheus has no memory of its own in an expression, so the alert itself is read: `ALERTS` has it while
    it fires. An evaluator that keeps state uses `Condition.holds` instead, and needs no such series.
    """

    condition: Expression
    alert: str
    """The alert's name."""
    labels: tuple[str, ...]
    """The labels that distinguish the rule's alerts."""
    start_hour: int
    """The hour at which the day begins, UTC."""
    end_hour: int
    """The hour at which the night begins, UTC."""

    def text(self, offset: float) -> str:
        condition, on = self.condition.text(offset), ", ".join(self.labels)
        both = "" if self.start_hour < self.end_hour else "or hour() "
        day = f"hour() >= {self.start_hour} {both}< {self.end_hour}"
        return f"({condition}) and on () ({day}) or ({condition}) and on ({on}) {self._firing().promql()}"

    def values(self, series: SeriesByName, now: float, offset: float) -> Values:
        found = self.condition.values(series, now, offset)
        if self.is_day(now):
            return found
        firing = {self._identity(labels) for labels, _ in self._firing().latest(series, now)}
        return {labels: value for labels, value in found.items() if self._identity(labels) in firing}

    def data(self, series: SeriesByName, now: float) -> frozenset[Labels]:
        """Return the labels for which the condition can be evaluated, also by night."""
        return self.condition.data(series, now)

    def selectors(self) -> Iterable[Selector]:
        return self.condition.selectors()

    def is_day(self, now: float) -> bool:
        """Return whether it is day at a time in seconds since 1970 UTC."""
        hour = int(now % DAY_SECONDS // HOUR)
        if self.start_hour < self.end_hour:
            return self.start_hour <= hour < self.end_hour
        return hour >= self.start_hour or hour < self.end_hour

    def _firing(self) -> Selector:
        return metric("ALERTS", alertname=self.alert, alertstate="firing")

    def _identity(self, labels: Labels) -> Labels:
        return frozenset((name, text) for name, text in labels if name in self.labels)


def by_day(
    alerts: AlertsSettings, name: str, labels: tuple[str, ...], condition: Expression, words: str
) -> Condition:
    """Return the condition of a rule that calls by day; it resolves as soon as it is false, also by night.

    Args:
        alerts: Settings with the hours (UTC) at which a day begins and ends.
        name: The rule's name, by which its firing alerts are found.
        labels: The labels that distinguish the rule's alerts.
        condition: What is wrong.
        words: What is wrong, in words; the hours are added.
    """
    start, end = alerts.day_start_hour, alerts.day_end_hour
    hours = f"It calls from {start:02d}:00 to {end:02d}:00 UTC; what begins by night calls in the morning."
    day = ByDay(condition, alert_name(name), labels, start, end)
    return Condition(day, condition, f"{words} {hours}")


def day_example(alerts: AlertsSettings, *tracks: Track) -> Example:
    """Return an example whose fault begins an hour after the day does, and lasts for an hour.

    Args:
        alerts: Settings with the hour (UTC) at which a day begins.
        *tracks: The series that show the fault.
    """
    step = 240
    return Example(
        tracks,
        step_seconds=step,
        healthy_steps=(24 + alerts.day_start_hour + 1) * HOUR // step,
        faulty_steps=HOUR // step,
        healed_steps=HOUR // step,
        fires_from_start=False,
    )
